"""The emoji model: what is refused, canceled, killed."""

import signal
import threading
from pathlib import Path

import pytest

from easel.local import client
from easel.local.client import call, read_state, send
from easel.local.server import run_server
from tests.server.calls import REPOSITORY, files_in, pixels, wait_for, wait_until_busy, worker_of
from tests.support.emoji_common import SMALL, ask


def wait_until_empty(folder: Path) -> None:
    """A file goes a moment after it was read."""
    wait_for(lambda: not files_in(folder), "files of the request are left")


# By the schema, before the runner sees them: 422, one sentence for each input that is wrong.
REFUSED = [
    ({}, "prompt", "Field required"),
    ({"prompt": ""}, "prompt", "shorter than 1 character"),
    ({"prompt": "x" * 5001}, "prompt", "longer than 5000 characters"),
    ({"prompt": 7}, "prompt", 'not of type "string"'),
    ({"prompt": None}, "prompt", "null"),
    ({"negative_prompt": "x" * 5001}, "negative_prompt", "longer than 5000 characters"),
    ({"aspect_ratio": "2:1"}, "aspect_ratio", 'is not one of ["1:1"'),
    ({"width": 63, "height": 64}, "width", "less than the minimum of 64"),
    ({"width": 64, "height": 2049}, "height", "greater than the maximum of 2048"),
    ({"width": "64", "height": 64}, "width", 'not of type "integer"'),
    ({"width": 64.5, "height": 64}, "width", 'not of type "integer"'),
    ({"width": None}, "width", "null"),
    ({"num_outputs": 0}, "num_outputs", "less than the minimum of 1"),
    ({"num_outputs": 5}, "num_outputs", "greater than the maximum of 4"),
    ({"num_outputs": True}, "num_outputs", 'not of type "integer"'),
    ({"num_inference_steps": 0}, "num_inference_steps", "less than the minimum of 1"),
    ({"num_inference_steps": 51}, "num_inference_steps", "greater than the maximum of 50"),
    ({"guidance_scale": -0.1}, "guidance_scale", "less than the minimum of 0"),
    ({"guidance_scale": 20.1}, "guidance_scale", "greater than the maximum of 20"),
    ({"guidance_scale": "2"}, "guidance_scale", 'not of type "number"'),
    ({"seed": -1}, "seed", "less than the minimum of 0"),
    ({"seed": 2**32}, "seed", "greater than the maximum of 4294967295"),
    ({"output_format": "gif"}, "output_format", 'is not one of ["webp","jpg","png"]'),
    ({"output_quality": 101}, "output_quality", "greater than the maximum of 100"),
]


@pytest.mark.parametrize(("inputs", "name", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_the_schema_forbids_is_refused_with_422_and_a_sentence(server, inputs, name, sentence):
    status, answer = send(server.url, {"input": {"prompt": "x", **inputs} if inputs else {}})
    assert status == 422
    (problem,) = answer["detail"]
    assert problem["loc"] == ["body", "input", name]
    assert sentence in problem["msg"]


# By the runner, since no schema can say them: the run fails with one sentence that names all that is wrong.
FAILED = [
    ({"prompt": "   "}, "prompt is empty: say what the image should show."),
    ({"prompt": "a\0b"}, "prompt contains the control character 0x00 at position 1: remove it."),
    ({"width": 128}, "width is given without height: give both, or neither and an aspect_ratio."),
    ({"height": 128}, "height is given without width: give both, or neither and an aspect_ratio."),
    (
        {"width": 2048, "height": 2048},
        "width x height is 2048 x 2048 = 4194304 pixels (rounded to multiples of 16); emoji makes 4096 to 36864 "
        "pixels, 64 x 64 to 192 x 192 when square.",
    ),
    (
        {"prompt": " ", "negative_prompt": "\0"},
        "prompt is empty: say what the image should show. negative_prompt contains the control character "
        "0x00 at position 0: remove it.",
    ),
]


@pytest.mark.parametrize(("inputs", "sentence"), FAILED, ids=lambda value: str(value)[:40])
def test_what_only_the_model_can_judge_fails_with_a_sentence(server, inputs, sentence):
    status, answer = send(server.url, {"input": {"prompt": "x", **inputs}})
    assert (status, answer["status"]) == (200, "failed")
    assert answer["error"].endswith(f"InputError: {sentence}")


def test_an_unknown_input_is_dropped_by_cogs_server(server):
    """Not what we want, but Cog's: the README says so, and script/predict refuses it."""
    status, answer = send(server.url, {"input": {"prompt": "a dog", "sed": 1, **SMALL}})
    assert (status, answer["status"]) == (200, "succeeded")


def test_a_refusal_loses_nothing(server):
    before = pixels(ask(server, prompt="a dog", seed=1, **SMALL))
    for inputs in [{"width": 9999}, {"width": 128}, {"prompt": "\0"}]:
        send(server.url, {"input": {"prompt": "x", **inputs}})
    assert pixels(ask(server, prompt="a dog", seed=1, **SMALL)) == before


def test_whole_numbers_may_be_written_with_a_point(server):
    inputs = {"prompt": "a dog", "num_inference_steps": 2, "guidance_scale": 1}
    assert pixels(ask(server, **inputs, seed=3, width=64, height=64)) == pixels(
        ask(server, **inputs, seed=3.0, width=64.0, height=64.0)
    )


def test_a_canceled_request_ends_early_and_the_next_one_is_as_on_a_fresh_server(server):
    before = pixels(ask(server, prompt="a red apple", seed=5, **SMALL))
    inputs = {"prompt": "a dog", "num_inference_steps": 50, "num_outputs": 4, "guidance_scale": 5}
    answers = []

    def send() -> None:
        answers.append(call("PUT", f"{server.url}/predictions/long-one", {"input": inputs}, timeout=60))

    caller = threading.Thread(target=send)
    caller.start()
    wait_until_busy(server)
    assert call("POST", f"{server.url}/predictions/long-one/cancel")[0] == 200
    caller.join(30)
    ((status, answer),) = answers
    assert (status, answer["status"]) == (200, "canceled")
    assert not answer.get("output"), "none of the four images is done so soon"
    assert pixels(ask(server, prompt="a red apple", seed=5, **SMALL)) == before


def test_two_callers_at_once_both_get_their_own_picture(server, monkeypatch):
    monkeypatch.setattr(client, "BUSY_DELAYS_S", (0.1,) * 100)
    alone = {seed: pixels(ask(server, prompt="robot", seed=seed, **SMALL)) for seed in (1, 2)}
    answers: dict[int, dict] = {}

    def make(seed: int) -> None:
        answers[seed] = ask(server, prompt="robot", seed=seed, **SMALL)

    callers = [threading.Thread(target=make, args=(seed,)) for seed in (1, 2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert {seed: pixels(answer) for seed, answer in answers.items()} == alone


def test_no_file_of_a_request_remains_once_its_answer_is_there(server, server_folder):
    ask(server, prompt="a dog", seed=1, num_outputs=2, **SMALL)
    wait_until_empty(server_folder / "tmp")


def test_a_killed_worker_gives_its_caller_a_failure_and_the_server_says_that_it_is_gone():
    with run_server(REPOSITORY, timeout=120) as server:
        answers = []

        def send() -> None:
            inputs = {"prompt": "a dog", "num_inference_steps": 50, "num_outputs": 4}
            answers.append(call("POST", f"{server.url}/predictions", {"input": inputs}, timeout=60))

        caller = threading.Thread(target=send)
        caller.start()
        wait_until_busy(server)
        worker_of(server).send_signal(signal.SIGKILL)
        caller.join(30)
        ((status, answer),) = answers
        assert (status, answer["status"], answer["error"]) == (200, "failed", "Worker crashed")
        assert read_state(server.url) == "UNHEALTHY"
        assert call("POST", f"{server.url}/predictions", {"input": {"prompt": "a dog"}})[0] == 409
