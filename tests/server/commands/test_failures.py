"""What a command says when a run, a model or a server fails; and samples."""

import json
import os
import signal
import subprocess

import pytest

from easel.local import client
from tests.server.commands.common import REPOSITORY, TIMEOUT_S, descendants, read_until, run, start


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
