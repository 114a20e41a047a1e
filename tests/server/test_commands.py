"""The `easel` command against Cog's real server with a toy runner: what a person at a terminal sees and gets."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from easel.local import client

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_S = 30  # Far above what any command here needs; a hang must end.

RUNNER = '''
import os
import sys
import time
from pathlib import Path as File

from cog import BaseRunner, CancelationException, Input, Path
from PIL import Image


class Runner(BaseRunner):
    def setup(self) -> None:
        print("toy setup")
        if "TOY_FAILS" in os.environ:
            raise RuntimeError("the toy has no weights")

    def run(
        self,
        prompt: str = Input(description="Any text."),
        steps: int = Input(default=2, ge=1, le=100, description="Each takes 0.1 s."),
        image: Path | None = Input(default=None, description="Its bytes are counted in the metrics."),
        fail: bool = Input(default=False, description="Fail after the last step."),
    ) -> list[Path]:
        """Draw a bar, then save two images."""
        print(f"prompt: {prompt}", flush=True)
        try:
            for step in range(steps):
                sys.stderr.write(f"\\r{100 * step // steps:3}%|{'#' * step:{steps}}| {step}/{steps}")
                sys.stderr.flush()
                time.sleep(0.1)
        except CancelationException:
            File("canceled").touch()
            raise
        sys.stderr.write(f"\\r100%|{'#' * steps}| {steps}/{steps}\\n")
        if fail:
            raise ValueError("the toy was told to fail")
        self.record_metric("image_bytes", len(image.read_bytes()) if image else 0)
        files = [Path(f"toy.{k}.png") for k in range(2)]
        for k, file in enumerate(files):
            Image.new("RGB", (8, 8), (90 * k, 0, 0)).save(file)
        return files
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "predict.py").write_text(RUNNER)
    return folder


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[str]:
    """The URL of one server for the tests that need none of their own, started and stopped by `easel serve`."""
    with start("serve", "--root", root, "--port", 0) as process:
        url = process.stdout.readline().strip()
        children = descendants(process.pid)
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    assert len(children) == 2
    assert still_alive(children) == []


@contextmanager
def start(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "easel.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # Its own handler stops the server.


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    with start(*arguments, **environment) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Standard error up to the first line that matches."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    raise AssertionError(f"{pattern} never came:\n{''.join(lines)}")


def descendants(pid: int) -> list[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]  # Each thread has its own.
    children = [int(child) for text in lists for child in text.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def still_alive(pids: list[int]) -> list[int]:
    """Which of the processes live on after a moment: the kernel needs one to end them."""
    deadline = time.monotonic() + 2
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


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


def test_a_run_that_fails_shows_its_log_and_its_error(served, tmp_path):
    result = run("predict", "--server", served, "-i", "prompt=x", "-i", "fail=true", "-o", tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-2:] == [
        "100%|##| 2/2",
        "The prediction failed: ValueError: the toy was told to fail",
    ]
    assert list(tmp_path.iterdir()) == []


def test_json_in_and_out_with_a_file(served, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"12345")
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"prompt": "x", "image": f"@{tmp_path / 'photo.png'}"}))
    result = run("predict", "--server", served, "--json", f"@{request}", "-o", tmp_path / "out")
    assert result.returncode == 0
    answer = json.loads(result.stdout)
    assert answer["status"] == "succeeded"
    assert answer["metrics"]["image_bytes"] == 5
    assert answer["logs"].startswith("prompt: x\n")
    assert answer["output"] == [str(tmp_path / "out" / f"output.{k}.png") for k in range(2)]
    assert json.loads((tmp_path / "out" / "output.json").read_text()) == answer


def test_a_server_elsewhere_gets_no_webhook_and_its_log_comes_at_the_end(served, monkeypatch):
    monkeypatch.setattr(client, "is_loopback", lambda url: False)
    shown: list[str] = []
    prediction = client.predict(served, {"prompt": "x"}, shown.append)
    assert shown == [prediction["logs"]]
    assert "2/2" in prediction["logs"]


def test_a_model_that_is_killed_is_explained(root):
    with start("predict", "--root", root, "-i", "prompt=x", "-i", "steps=100") as process:
        read_until(process, r"\d+%\|")
        worker = descendants(process.pid)[-1]
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "The process that runs the model died" in errors


def test_a_model_that_does_not_load_is_explained(root):
    result = run("predict", "--root", root, "-i", "prompt=x", TOY_FAILS="1")
    assert result.returncode == 1
    assert "The model could not be loaded (SETUP_FAILED): RuntimeError: the toy has no weights" in result.stderr
    assert "The server's last lines:" in result.stderr  # what setup printed may be missing: Cog drops it at times


def test_no_server_is_explained():
    result = run("predict", "--server", "http://127.0.0.1:9", "-i", "prompt=x")
    assert result.returncode == 1
    assert "No answer from http://127.0.0.1:9" in result.stderr


def test_a_port_in_use_is_explained(root, served):
    result = run("serve", "--root", root, "--port", served.rpartition(":")[2])
    assert result.returncode == 1
    assert "Choose another with --port" in result.stderr


def test_samples_are_made_from_their_requests(root, served):
    folder = root / "samples"
    (folder / "requests").mkdir(parents=True)
    (folder / "requests" / "apple.json").write_text('{"prompt": "an apple"}')
    result = run("samples", "--root", root, "--server", served)
    assert result.returncode == 0
    assert sorted(path.name for path in (folder / "outputs").iterdir()) == ["apple.0.png", "apple.1.png"]


@pytest.mark.skipif(not (REPOSITORY / ".venv/.easel-setup").exists(), reason="script/setup has not made .venv")
def test_the_script_takes_paths_from_where_it_is_called(served, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"12345")
    result = subprocess.run(
        [REPOSITORY / "script/predict", "--server", served, "-i", "prompt=x", "-i", "image=@photo.png", "-o", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.stdout.split() == ["out/output.0.png", "out/output.1.png"]
    assert (tmp_path / "out" / "output.1.png").stat().st_size > 0
