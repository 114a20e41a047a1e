"""Every case of bad_inputs/cases.py against one server: a sentence each, and nothing is lost or left."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from easel.client import send
from easel.server import Server, run_server
from tests.server.bad_inputs.cases import GOOD, MODEL, SCHEMA, SECRET

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {"prompt": "red apple", "width": 64, "height": 64, "num_inference_steps": 1, "seed": 3}
KINDS = "InputError|AdapterError|FetchError|ResourceError"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("of-the-server")


@pytest.fixture(scope="module")
def server(folder) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        (folder / "tmp").mkdir()
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setenv("EASEL_CACHE_DIR", str(folder / "cache"))
        with run_server(REPOSITORY, timeout=120) as server:
            yield server


@pytest.fixture(scope="module")
def reference(server) -> list[str]:
    return ask(server, {})[1]["output"]


@pytest.fixture(scope="module")
def worker(server, reference) -> int:
    (process,) = psutil.Process(server.process.pid).children(recursive=True)
    return process.pid


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


def test_after_all_of_them_the_same_worker_makes_the_same_file_and_nothing_is_left(server, worker, reference, folder):
    assert ask(server, {})[1]["output"] == reference
    (process,) = psutil.Process(server.process.pid).children(recursive=True)
    assert process.pid == worker
    deadline = time.monotonic() + 5
    while left := [name for _, _, names in os.walk(folder / "tmp") for name in names]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    kept = [name for _, _, names in os.walk(folder / "cache") for name in names]
    assert all(re.fullmatch(r"sha256-[0-9a-f]{64}\.safetensors|[0-9a-f]{64}\.json", name) for name in kept), kept


def test_the_table_is_as_long_as_it_should_be():
    assert len(SCHEMA) + len(MODEL) + len(GOOD) >= 150
