"""Every case of bad_inputs/cases.py against one server: a sentence each, and nothing is lost or left."""

import json
import re

import pytest

from easel.local.client import send
from easel.local.server import Server
from tests.server.bad_inputs.cases import GOOD, MODEL, SCHEMA, SECRET
from tests.server.calls import files_in, pixels, wait_for, worker_of

SMALL = {"prompt": "red apple", "width": 64, "height": 64, "num_inference_steps": 1, "seed": 3}
KINDS = "InputError|AdapterError|FetchError|ResourceError"


@pytest.fixture(scope="module")
def reference(server) -> list[bytes]:
    return pixels(ask(server, {})[1])


@pytest.fixture(scope="module")
def worker(server, reference) -> int:
    return worker_of(server).pid


def ask(server: Server, inputs: dict) -> tuple[int, dict]:
    """A request with these inputs beside good ones; a size goes when the case has one, `...` takes an input away."""
    merged = {**SMALL, **inputs}
    if {"width", "height"} & set(inputs):
        merged = {name: value for name, value in merged.items() if name not in ("width", "height") or name in inputs}
    return send(server.url, {"input": {name: value for name, value in merged.items() if value is not ...}})


@pytest.mark.parametrize(("inputs", "sentence"), [row[1:] for row in SCHEMA], ids=[row[0] for row in SCHEMA])
def test_what_the_schema_forbids_is_refused_with_422(server, inputs, sentence):
    status, answer = ask(server, inputs)
    assert status == 422, answer
    assert any(sentence in problem["msg"] for problem in answer["detail"]), answer


@pytest.mark.parametrize(("inputs", "sentence"), [row[1:] for row in MODEL], ids=[ascii(row[0]) for row in MODEL])
def test_what_only_easel_can_judge_fails_with_a_sentence(server, worker, reference, inputs, sentence):
    status, answer = ask(server, inputs)
    assert (status, answer["status"]) == (200, "failed"), answer
    assert re.fullmatch(rf"(Prediction failed: )*({KINDS}): .*[.:)]", answer["error"], re.DOTALL), answer["error"]
    assert sentence in answer["error"]
    assert SECRET not in json.dumps({**answer, "input": None})
    assert "Traceback" not in answer["error"] + answer["logs"]


@pytest.mark.parametrize("inputs", [row[1] for row in GOOD], ids=[row[0] for row in GOOD])
def test_what_looks_wrong_and_is_not_makes_pictures(server, inputs):
    status, answer = ask(server, inputs)
    assert (status, answer["status"]) == (200, "succeeded"), answer
    assert len(answer["output"]) == inputs.get("num_outputs", 1)


def test_after_all_of_them_the_same_worker_makes_the_same_picture_and_nothing_is_left(
    server, worker, reference, server_folder
):
    assert pixels(ask(server, {})[1]) == reference
    assert worker_of(server).pid == worker
    wait_for(lambda: not files_in(server_folder / "tmp"), "files of a request are left")
    cache = server_folder / "cache"
    kept = [path.name for path in files_in(cache) if path.parent != cache / "verified"]
    assert all(
        re.fullmatch(r"sha256-[0-9a-f]{64}\.safetensors|[0-9a-f]{64}\.json|self-made\.pem", name) for name in kept
    ), kept


def test_the_table_is_as_long_as_it_should_be():
    assert len(SCHEMA) + len(MODEL) + len(GOOD) >= 150
