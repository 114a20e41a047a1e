"""What the tests of trainings ask again and again."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.api.calls import END
from tests.support.api_process import Api, ask, wait_for_version

ROOT = Path(__file__).parent / "trainer"
IMAGES = "data:application/zip;base64," + base64.b64encode(b"images").decode()


def ready(api: Api) -> str:
    """Make a model for trained versions; the version that can be trained."""
    make_model(api, "mine")
    return wait_for_version(api, "test/model")["id"]


def make_model(api: Api, name: str) -> None:
    model = {"owner": "test", "name": name, "visibility": "private", "hardware": "cpu"}
    assert ask(api, "POST", "/v1/models", model)[0] == 201


def train(api: Api, version: str, destination: str = "test/mine", webhook: str | None = None, **inputs: Any) -> Any:
    """What the API answers to a training: status and document."""
    body = {"destination": destination, "input": {"input_images": IMAGES} | inputs}
    return ask(
        api,
        "POST",
        f"/v1/models/test/model/versions/{version}/trainings",
        body | ({"webhook": webhook} if webhook else {}),
    )


def started(api: Api, version: str, **inputs: Any) -> str:
    status, training = train(api, version, **inputs)
    assert status == 201, training
    return training["id"]


def wait_for(api: Api, identity: str, *states: str, seconds: float = 90) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status, training = ask(api, "GET", f"/v1/trainings/{identity}")
        assert status == 200, training
        if training["status"] in (states or END):
            return training
        time.sleep(0.05)
    raise AssertionError(f"{json.dumps(training)}, not {states or END}: {api.log.read_text()[-2000:]}")


def process_of(training: dict[str, Any]) -> int:
    """The process that trains, by its own word."""
    return int(training["logs"].partition("process ")[2].split()[0])
