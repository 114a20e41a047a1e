"""`easel batch` as a user runs it: README's line, kills, a resume; and nothing of Ray is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pyarrow import parquet

from easel.batch.answer_row import digest_pixels
from easel.inference.engine import Engine
from easel.inference.startup import adapter_files
from easel.request import Request
from tests.support.loading import load_folder
from tests.support.serving import REPOSITORY

pytestmark = pytest.mark.slow
README_LINE = ".venv/bin/easel batch samples/batch/words.jsonl out"
SMALL = {"width": 64, "height": 64, "num_inference_steps": 1}
COUNT = 40
ONE_ACTOR = ("--cpus-per-actor", str(os.cpu_count()))  # where a second one, which has to be loaded, shows nothing more


def start(requests, output, *more, **environ):
    command = [sys.executable, "-m", "easel.cli", "batch", str(requests), str(output), *more]
    environ = {**os.environ, "EASEL_MODEL": "emoji", "RAY_worker_niceness": "0", **environ}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate(timeout=500)
    return process.returncode, out.strip(), err


def results(output):
    return sorted(parquet.read_table(output / "results").to_pylist(), key=lambda row: row["row"])


def images(output):
    return len(list(output.glob("images/*/*.webp")))


def wait_for_images(process, output, count):
    while images(output) < count:
        assert process.poll() is None, finish(process)
        time.sleep(0.2)
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    engine = Engine(load_folder(REPOSITORY / "weights/emoji", cache=cache), adapter_files(cache, {}))
    yield engine
    engine.outputs.root.cleanup()


def digests(engine, **inputs):
    return [digest_pixels(path.read_bytes()) for path in engine.answer(Request(**inputs), lambda name, value: None)]


def test_readmes_line_makes_the_images_that_the_engine_makes(tmp_path, engine):
    assert README_LINE in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    output = tmp_path / "out"
    process = start("samples/batch/words.jsonl", output, HOME=str(tmp_path), TMPDIR=str(tmp_path))
    code, out, err = finish(process)
    assert (code, out) == (0, f"{output}/results"), err
    assert not (tmp_path / ".ray").exists()  # where Ray keeps a token by itself
    assert not Path(f"/tmp/easel-ray-{process.pid}").exists()  # the test's own folder has too long a name for sockets
    apple, dog, rocket, wrong = results(output)
    assert apple["digests"] == digests(engine, prompt="a red apple", seed=7)
    assert dog["digests"] == digests(engine, prompt="a dog", width=128, height=64, seed=dog["seed"])
    assert [Path(file).suffix for file in rocket["files"]] == [".png", ".png"]
    assert [digest_pixels((output / file).read_bytes()) for file in rocket["files"]] == rocket["digests"]
    assert (wrong["files"], wrong["error"]) == ([], "num_inference_steps is 1000; it must be from 1 to 50.")


def test_after_kills_each_row_is_there_once_with_the_same_pixels(tmp_path, engine):
    requests, output = tmp_path / "in.jsonl", tmp_path / "out"
    lines = [{"custom_id": f"../{k}", "prompt": f"a red apple {k}", **SMALL} for k in range(COUNT)]
    requests.write_text("\n".join(map(json.dumps, lines)))

    process = start(requests, output, *ONE_ACTOR)
    children = wait_for_images(process, output, 12)
    addresses = {one.laddr.ip for child in children for one in child.net_connections() if one.status == "LISTEN"}
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 128 + signal.SIGTERM
    assert "run the same command again" in err
    assert not psutil.wait_procs(children, timeout=30)[1]

    process = start(requests, output)
    children = wait_for_images(process, output, max(images(output), 20) + 1)
    os.kill(next(child.pid for child in children if "MapWorker" in child.name()), signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 0, err
    rows = results(output)
    assert [row["custom_id"] for row in rows] == [line["custom_id"] for line in lines]
    assert images(output) == COUNT
    for row, line in list(zip(rows, lines, strict=True))[::7]:
        assert row["digests"] == digests(engine, prompt=line["prompt"], seed=row["seed"], **SMALL)

    assert finish(start(requests, output))[:2] == (0, f"{output}/results")  # nothing is left to do
    assert results(output) == rows


def test_a_batch_that_would_cost_too_much_is_refused_after_ten_images_though_their_actor_died(tmp_path):
    requests, output = tmp_path / "in.jsonl", tmp_path / "out"
    requests.write_text("\n".join(json.dumps({"prompt": f"a dog {k}", **SMALL}) for k in range(15)))
    process = start(requests, output, "--price-per-hour", "modal/l40s", "--max-cost", "0.0001")
    while not (actors := [one for one in psutil.Process(process.pid).children(True) if "Painter" in one.name()]):
        time.sleep(0.05)
    actors[0].kill()
    code, _, err = finish(process)
    assert code == 2, err
    assert "which is more than --max-cost 0.0001" in err
    assert not images(output)
