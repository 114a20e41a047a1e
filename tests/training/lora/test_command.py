"""`easel train` as a person runs it: killed in whatever way, the same command goes on to the same file."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from easel.errors import InputError
from easel.training.job import read_job
from tests.support.serving import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture
def command(folder, images, tmp_path):
    """Starts `easel train` for the small model, with its files in a folder of this name."""
    root = tmp_path / "root"
    (root / "weights").mkdir(parents=True)
    (root / "weights" / "emoji").symlink_to(folder)
    (root / "predict.py").symlink_to(REPOSITORY / "predict.py")
    environ = {**os.environ, "EASEL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    environ["PYTHONPATH"] = str(REPOSITORY / "src")

    def start(name, *inputs):
        given = [f"input_images=@{images}", "steps=200", "resolution=64", "lora_rank=2", "seed=7", *inputs]
        arguments = [part for one in given for part in ("-i", one)]
        return subprocess.Popen(
            [sys.executable, "-m", "easel.cli", "train", "--root", root, *arguments, "-o", tmp_path / name],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines(), err


def test_after_kill_9_and_after_sigterm_the_same_command_goes_on_to_the_same_file(command, tmp_path):
    out, _ = finish(command("whole"))
    assert out == [str(tmp_path / "whole" / name) for name in ("weights.tar", "lora.safetensors")]
    whole = (tmp_path / "whole" / "lora.safetensors").read_bytes()

    process = command("broken")
    wait_for(tmp_path / "broken" / "validation" / "step-00040.png", process)
    process.kill()  # its checkpoint is that of step 40, and it may be some steps further
    process.communicate()
    assert (tmp_path / "broken" / "checkpoint.pt").is_file()
    assert not (tmp_path / "broken" / "lora.safetensors").exists()

    process = command("broken")
    wait_for(tmp_path / "broken" / "validation" / "step-00120.png", process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert out == ""
    assert "run the same command again to go on" in err.splitlines()[-1]
    assert "Traceback" not in err

    _, err = finish(command("broken"))
    done = next(line for line in err.splitlines() if line.startswith("training: seed 7"))
    assert done in [f"training: seed 7, 200 steps, {step} of them done" for step in (120, 140, 160, 180)]
    assert (tmp_path / "broken" / "lora.safetensors").read_bytes() == whole
    assert not (tmp_path / "broken" / "checkpoint.pt").exists()
    assert not list((tmp_path / "broken").rglob("*.tmp"))


def test_wrong_inputs_are_refused_before_anything_is_loaded(command, tmp_path):
    process = command("refused", "steps=x", "lora_rank=500")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "steps: given 2 times" in err
    process = command("refused", "learning_rate=x", "autocaption=true")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "learning_rate must be a number above 0 and at most 0.1, not 'x'." in err
    assert "There is no input 'autocaption'" in err
    assert not (tmp_path / "refused").exists()


def test_a_data_set_of_no_use_is_refused(command, images, tmp_path, monkeypatch):
    process = command("few")
    process.kill()
    process.communicate()
    empty = tmp_path / "empty.zip"
    empty.write_bytes(b"nothing")
    arguments = [str(argument).replace(str(images), str(empty)) for argument in process.args]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_checks_again_what_it_takes(images, model):
    inputs = {"input_images": str(images), "steps": 1}
    job = read_job(json.dumps({"model": str(model.folder), "inputs": inputs, "output": "x"}))
    with ExitStack() as stack, pytest.raises(InputError, match=r"steps is 1; it must be from 100 to 6000\."):
        job.settings(job.load_model(), stack)
