"""What the tests of trainings ask again and again."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from easel.schema.openapi import openapi
from tests.api.calls import END
from tests.support.api_process import Api, ask

ROOT = Path(__file__).parent / "trainer"
IMAGES = "data:application/zip;base64," + base64.b64encode(b"images").decode()
STEPS = {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 2}
ENDS = {"type": "string", "enum": ["well", "failed", "dead"], "default": "well"}


def schema() -> dict[str, Any]:
    """The document of the model here, with the inputs of its trainer."""
    document = openapi(ROOT / "predict.py")
    images = {"type": "string", "format": "uri"}
    document["components"]["schemas"]["TrainingInput"] = {
        "type": "object",
        "required": ["input_images"],
        "properties": {"input_images": images, "steps": STEPS, "end": ENDS},
    }
    return document


def push(api: Api, url: str) -> str:
    """Register the version that can be trained, and a model for the trained ones; the version."""
    body = {"openapi_schema": schema(), "cog_version": "0.23.1", "servers": [url]}
    status, version = ask(api, "POST", "/v1/models/test/model/versions", body)
    assert status == 201, version
    make_model(api, "mine")
    return version["id"]


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
