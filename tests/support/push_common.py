"""What the tests of script/push share."""

from tests.publish.conftest import HOST, Shop
from tests.support.api_process import ask

IMAGE = f"{HOST}/acme/emoji"


ALL_CHECKS = ["lint", "test", "easel"]


def versions_of(shop: Shop, model: str) -> list[str]:
    return [version["id"] for version in ask(shop.api, "GET", f"/v1/models/{model}/versions")[1]["results"]]
