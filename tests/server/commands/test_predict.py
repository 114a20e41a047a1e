"""`script/predict`: progress, interrupts, inputs, a server that is busy."""

import signal
import time

import pytest

from easel.local import client
from tests.server.commands.common import TIMEOUT_S, descendants, read_until, run, start, still_alive


def test_a_prediction_shows_its_progress_and_leaves_only_its_files(root, tmp_path):
    with start("predict", "--root", root, "-i", "prompt=an apple", "-i", "steps=12", "-o", tmp_path) as process:
        log = read_until(process, r"\d+%\|.*\d/12")
        assert process.poll() is None
        children = descendants(process.pid)
        output, rest = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert output.split() == [str(tmp_path / name) for name in ("output.0.png", "output.1.png")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.0.png", "output.1.png"]
    assert "prompt: an apple" in log
    assert "12/12" not in log
    assert "100%|############| 12/12" in rest
    assert len(children) == 2
    assert still_alive(children) == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_cancels_the_run_and_leaves_nothing(root, tmp_path, signum, code):
    (root / "canceled").unlink(missing_ok=True)
    with start("predict", "--root", root, "-i", "prompt=x", "-i", "steps=100", "-o", tmp_path) as process:
        read_until(process, r"\d+%\|")
        children = descendants(process.pid)
        process.send_signal(signum)
        output, _ = process.communicate(timeout=4)  # Less than the grace after which the server would be killed.
    assert process.returncode == code
    assert (root / "canceled").exists()
    assert output == ""
    assert list(tmp_path.iterdir()) == []
    assert len(children) == 2
    assert still_alive(children) == []


def test_an_interrupt_cancels_on_a_server_that_runs_on(root, served):
    (root / "canceled").unlink(missing_ok=True)
    with start("predict", "--server", served, "-i", "prompt=x", "-i", "steps=100") as process:
        read_until(process, r"\d+%\|")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
    deadline = time.monotonic() + 5
    while not (root / "canceled").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (root / "canceled").exists()
    assert run("predict", "--server", served, "-i", "prompt=x", "-o", root / "after").returncode == 0


def test_requests_in_a_row_find_the_server_free(served, tmp_path):
    for k in range(4):
        prediction = client.predict(served, {"prompt": f"{k}", "steps": 1}, lambda text: None)
        assert prediction["status"] == "succeeded"
        assert f"prompt: {k}\n" in prediction["logs"]


def test_a_busy_server_says_so(served, monkeypatch):
    monkeypatch.setattr(client, "BUSY_DELAYS_S", ())
    with start("predict", "--server", served, "-i", "prompt=x", "-i", "steps=100") as process:
        read_until(process, r"\d+%\|")
        with pytest.raises(client.ServerError, match="works on another request"):
            client.predict(served, {"prompt": "y"}, lambda text: None)
        process.send_signal(signal.SIGINT)


def test_an_unknown_input_is_refused_before_anything_starts(root):
    result = run("predict", "--root", root, "-i", "promt=x")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "There is no input 'promt'.",
        "The input 'prompt' is missing.",
        "This model takes: prompt, steps, image, fail.",
    ]


def test_an_unknown_input_is_refused_for_a_running_server_too(served):
    result = run("predict", "--server", served, "--json", '{"prompt": "x", "step": 1}')
    assert result.returncode == 2
    assert "There is no input 'step'." in result.stderr


def test_a_value_that_the_server_refuses_is_named(served):
    result = run("predict", "--server", served, "-i", "prompt=x", "-i", "steps=1000")
    assert result.returncode == 1
    assert result.stderr == "The server refuses the inputs:\n  steps: 1000 is greater than the maximum of 100\n"
    assert result.stdout == ""
