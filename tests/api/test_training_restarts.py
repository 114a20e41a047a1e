"""What is left of trainings when the API ends, however it does; and when their time is over."""

import os
import time

import pytest

from easel.local.server import run_server
from tests.api.training_calls import ROOT, process_of, ready, started, wait_for
from tests.support.api_process import ask, run_api

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cog():
    with run_server(ROOT, timeout=60) as server:
        yield server


@pytest.fixture
def api(cog, tmp_path):
    options = {"rate_limit": 0, "root": ROOT, "retention": 1}
    with run_api(tmp_path / "api", [f"test/model={cog.url}"], {"EASEL_MODEL": "model"}, **options) as api:
        yield api


def test_after_a_kill_the_running_one_has_failed_and_the_waiting_one_trains(api):
    version = ready(api)
    first = started(api, version, steps=10_000)
    second = started(api, version)
    running = wait_for(api, first, "processing")
    until = time.monotonic() + 60
    while "process" not in running["logs"]:
        assert time.monotonic() < until
        running = ask(api, "GET", f"/v1/trainings/{first}")[1]
    api.kill()
    api.start()
    done, lost = wait_for(api, second), wait_for(api, first)
    assert (done["status"], done["error"]) == ("succeeded", None)
    assert (lost["status"], "the result is lost" in lost["error"]) == ("failed", True)
    with pytest.raises(ProcessLookupError):
        os.kill(process_of(running), 0)


def test_a_trained_version_outlives_a_restart_and_the_time_of_predictions(api):
    training = wait_for(api, started(api, ready(api)))
    until = time.monotonic() + 60
    while not training["data_removed"]:  # of its input
        assert time.monotonic() < until
        time.sleep(0.1)
        training = ask(api, "GET", f"/v1/trainings/{training['id']}")[1]
    assert training["input"] == {}
    assert training["output"].keys() == {"version", "weights"}
    assert api.stop() == 143
    api.start()
    assert ask(api, "GET", f"/v1/trainings/{training['id']}")[1]["output"] == training["output"]
    model, _, identity = training["output"]["version"].partition(":")
    assert ask(api, "GET", f"/v1/models/{model}")[1]["latest_version"]["id"] == identity
    body = {"input": {"prompt": "TOK"}}
    status, prediction = ask(api, "POST", f"/v1/models/{model}/predictions", body, Prefer="wait")
    assert (status, prediction["version"], prediction["error"]) == (201, identity, None)
    assert isinstance(prediction["output"], str)
