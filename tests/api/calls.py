"""What the tests of the API ask again and again."""

import time
from typing import Any

from tests.support.api_process import Api, ask

END = ("succeeded", "failed", "canceled", "aborted")
MODEL = "/v1/models/test/model/predictions"


def create(api: Api, headers: dict[str, str] | None = None, **inputs: Any) -> dict[str, Any]:
    status, prediction = ask(api, "POST", MODEL, {"input": inputs}, **(headers or {}))
    assert status in (201, 202), prediction
    return prediction


def show(api: Api, identity: str) -> dict[str, Any]:
    status, prediction = ask(api, "GET", f"/v1/predictions/{identity}")
    assert status == 200, prediction
    return prediction


def wait_for(api: Api, identity: str, *states: str, seconds: float = 90) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        prediction = show(api, identity)
        if prediction["status"] in (states or END):
            return prediction
        time.sleep(0.03)
    raise AssertionError(f"{prediction['status']}, not {states or END}: {api.log.read_text()[-2000:]}")
