"""`easel measure` as a command: what it writes and prints, what it refuses, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easel.local.server import Server
from easel.platforms.files import read_yaml
from easel.platforms.profile import Profile
from easel.platforms.results import read_results
from tests.support.api_process import run_api, wait_for_version
from tests.support.known_target import KnownTarget, known_target

pytestmark = pytest.mark.slow
RUNNER = Path(__file__).parents[1] / "api" / "runner"
COMMAND = [sys.executable, "-m", "easel.cli", "measure"]


def measure(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "REPLICATE_API_TOKEN": "r8_x", "REPLICATE_BASE_URL": "", **environment}
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, env=env)


def summary_of(done: subprocess.CompletedProcess) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


def test_a_measurement_is_a_file_of_lines_a_table_and_one_json_line(tmp_path):
    path, profile = tmp_path / "new" / "a.jsonl", tmp_path / "p.yaml"
    with known_target(kind="replicate", seconds=[0.2, 0.02]) as target:
        done = measure(
            target.url, "--rate", 20, "--requests", 30, "-i", "prompt=a {n}", "-i", "token=hush", "-o", path,
            "--profile", profile, "--hardware", "l40s", "--price-per-second", 0.5, "--max-cost", 100,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recording = read_results(path)
    assert [len(recording.of(phase)) for phase in ("cold", "warm-up", "warm")] == [1, 2, 30]
    assert recording.of("cold")[0].run_seconds >= 0.2
    assert (recording.run.model, recording.run.schedule, recording.run.rate) == ("owner/name", "poisson, seed 0", 20.0)
    assert recording.run.inputs == {"prompt": "a {n}", "token": "[REDACTED]"}
    assert "hush" not in path.read_text() + done.stdout + done.stderr
    assert [one["prompt"] for one in target.inputs] == [f"a {k}" for k in range(33)]
    summary = summary_of(done)
    assert summary["request_count"]["avg"] == 30
    assert summary["results"] == str(path)
    assert summary["cost_usd"] == pytest.approx(0.5 * sum(ended - began for began, ended in target.runs), rel=1e-3)
    assert "Request Latency (ms)" in done.stderr
    assert "95 % intervals" in done.stderr
    read = read_yaml(profile, Profile)
    assert len(read.run_seconds.samples) == 30
    assert (read.hardware, read.setup_seconds.origin, read.run_failures.value) == ("l40s", "assumed", 0.0)


def test_a_trace_is_sent_as_it_is(tmp_path):
    trace = tmp_path / "arrivals.csv"
    trace.write_text("seconds\n0\n0.05\n0.05\n0.3\n")
    with known_target() as target:
        done = measure(target.url, "--trace", trace, "--warm-up", 0, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.jsonl")
    assert [one.intended for one in read_results(path).of("warm")] == [0.0, 0.05, 0.05, 0.3]


def test_what_may_bill_is_not_sent_without_yes_nor_even_asked(tmp_path):
    with known_target(kind="replicate") as target:
        elsewhere = target.url.replace("127.0.0.1", "127.1")  # this machine as well, but not by its text
        done = measure(elsewhere, "-o", tmp_path)
        assert (done.returncode, done.stdout, target.paths) == (2, "", [])
        assert "53 requests to http://127.1" in done.stderr
        assert "Add --yes" in done.stderr
        named = ["owner/name", "--price-per-second", 0.001, "-o", tmp_path]
        done = measure(*named, REPLICATE_BASE_URL=elsewhere)
        assert (done.returncode, target.inputs) == (2, [])
        assert "About 0.1060 USD, at 2 s each" in done.stderr
        assert list(tmp_path.iterdir()) == []
        done = measure(*named, "--yes", "--rate", 50, "--requests", 5, REPLICATE_BASE_URL=elsewhere)
        assert (done.returncode, len(target.inputs)) == (0, 8), done.stderr


def test_the_ceiling_ends_the_sending(tmp_path):
    with known_target(seconds=[0.1]) as target:
        options = ["--rate", 1, "--requests", 20, "--constant", "--price-per-second", 1, "--max-cost", 0.65]
        done = measure(target.url, *options, "-o", tmp_path)
    assert done.returncode == 0
    assert 4 <= len(target.runs) <= 6  # 0.1 USD each and a little more
    assert "may exceed --max-cost 0.65" in done.stderr
    assert summary_of(done)["cost_usd"] <= 0.65


@pytest.mark.parametrize("kind", ["cog", "replicate"])
def test_ctrl_c_cancels_what_runs_and_keeps_what_was_measured(tmp_path, kind):
    path = tmp_path / "a.jsonl"
    with known_target(kind=kind, seconds=[0.01, 0.01, 0.01, 0.01, 60.0]) as target:
        command = [*COMMAND, target.url, "--rate", "20", "--requests", "40", "-o", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_for_runs(target, 4, process)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        warm, before = (read_results(path).of(phase) for phase in ("warm", "warm-up"))
        assert [one.status for one in before] == ["succeeded"] * 2
        assert {one.error for one in warm} <= {None, "canceled"}
        assert "canceled" in {one.error for one in warm}
        assert json.loads(stdout)["errors"]["canceled"] >= 1
        assert "Traceback" not in stderr
        if kind == "replicate":
            assert len(target.canceled) == sum(one.error == "canceled" for one in warm)


def wait_for_runs(target: KnownTarget, count: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while len(target.runs) < count or not target.slot.locked():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_target_that_only_fails_gives_results_and_exit_code_1(tmp_path):
    with known_target(oddity=(500, {}, b"oh no")) as target:
        done = measure(target.url, "--rate", 100, "--requests", 10, "-o", tmp_path)
    assert done.returncode == 1
    assert "13 x server_error: 500: oh no" in done.stderr
    assert summary_of(done)["errors"] == {"server_error": 13}
    assert "Traceback" not in done.stderr


def test_a_first_request_that_is_refused_is_the_last(tmp_path):
    with known_target(oddity=(422, {}, b'{"detail": "prompt: too long"}')) as target:
        done = measure(target.url, "-o", tmp_path)
    assert done.returncode == 1
    assert "1 x refused: 422: prompt: too long" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a b"], "is not a URL"),
        (["http://127.0.0.1:1", "http://127.0.0.1:2"], "Give one target"),
        (["http://127.0.0.1:1", "--starts", "2"], "leave the target out"),
        (["http://127.0.0.1:1", "--max-cost", "1"], "needs --price-per-second"),
        (["http://127.0.0.1:1", "--trace", "/nowhere.csv"], "cannot be read"),
        (["http://127.0.0.1:1", "--trace", "x", "--rate", "1"], "leave --rate"),
        (["--rate", "0"], "above 0"),
        (["--requests", "0"], "1 or more"),
        (["compare", "a"], "Give two results"),
        (["compare", "/nowhere", "/nowhere"], "cannot be read"),
        (["--root", "/"], "no predict.py"),
    ],
)
def test_what_cannot_be_is_refused_in_words_with_exit_code_2(tmp_path, arguments, words):
    done = measure(*arguments, "-o", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_what_is_missing():
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('hdrh', 'pydantic', 'numba')));"
        "from easel.cli import main; sys.exit(main.main(['measure', 'http://127.0.0.1:1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "pip install 'easel[plan]'" in done.stderr) == (2, True), done.stderr


def test_a_server_of_its_own_is_started_and_its_cold_start_measured(tmp_path):
    path, profile = tmp_path / "a.jsonl", tmp_path / "p.yaml"
    options = ["--root", RUNNER, "--starts", 2, "-i", "seconds=0.05", "--requests", 5, "-o", path, "--profile", profile]
    done = measure(*options)
    assert done.returncode == 0, done.stderr
    recording, summary = read_results(path), summary_of(done)
    assert [len(recording.starts), len(recording.of("cold"))] == [2, 2]
    setups = [one.setup_seconds for one in recording.starts]
    assert summary["setup_time"]["avg"] == pytest.approx(1000 * sum(setups) / 2, abs=0.01)
    assert summary["cold_start"]["min"] > summary["setup_time"]["min"]
    assert "half of what one server can do" in done.stderr
    assert read_yaml(profile, Profile).setup_seconds.samples == setups


def test_emoji_behind_easel_api_is_measured_and_two_measurements_compared(tmp_path, server: Server):
    with run_api(tmp_path / "api", [f"easel/emoji={server.url}"]) as api:
        wait_for_version(api)
        paths = [tmp_path / name for name in ("direct.jsonl", "api.jsonl")]
        options = ["-i", "num_inference_steps=1", "--rate", 2, "--requests", 8, "--warm-up", 1]
        for target, path in zip((server.url, api.url), paths, strict=True):
            done = measure(target, *options, "-o", path, REPLICATE_API_TOKEN=api.token)
            assert done.returncode == 0, done.stderr
            warm = read_results(path).of("warm")
            assert [one.error for one in warm] == [None] * 8
            assert all(one.latency_seconds >= one.run_seconds > 0 for one in warm)
        assert read_results(paths[1]).run.model == "easel/emoji"
        refused = measure(api.url, "-o", tmp_path, REPLICATE_API_TOKEN="not-the-token")
        assert (refused.returncode, "Set REPLICATE_API_TOKEN" in refused.stderr) == (2, True)
    compared = measure("compare", *paths)
    assert compared.returncode == 0
    assert "latency, median: " in compared.stderr
    assert set(summary_of(compared)) >= {"latency, median", "run time, median", "error rate"}
