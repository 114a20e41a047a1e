"""`script/gpu-check` at tiny size on the CPU: every row, real processes, and what becomes of one that fails."""

import importlib
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from gpu_check import report
from gpu_check.__main__ import SECONDS
from gpu_check.machine_rows import driver
from gpu_check.rows import GROUPS, MISS, NOT_RUN, PASS, ROWS, Outcome, Row, rows_within, select_rows
from gpu_check.server_rows import expected_memory, memory_in_use
from gpu_check.train_rows import smallest_card

from tests.support.rounds import rounds

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "script" / "gpu-check"
# What a CPU does not have; the last two need packages that are not installed.
NEEDS_A_GPU = {"server.device_memory", "options.attention_cudnn", "options.attention_efficient"}
NEEDS_PACKAGES = {"options.attention_flash_2", "options.attention_flash_3", "engine.direct"}
# All rows take as long as a tenth of all tests, so those that do what another one does are for EASEL_TEST_ROUNDS=full.
FEW = (
    *("machine", "plain.warm", "server.warm", "server.device_memory", "server.host_memory", "server.text"),
    *("server.lora", "server.safety", "server.cancel", "engine.load", "engine.request", "engine.forward"),
    *("options.attention_efficient", "options.out_of_memory", "mode.turns", "train.steps_512"),
)


def command(folder: Path, *arguments: str) -> list[str]:
    return [str(SCRIPT), "--tiny", "--folder", str(folder), *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def wanted() -> tuple[Row, ...]:
    return select_rows(rounds(FEW, GROUPS))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, wanted) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A run of the wanted rows, and the file of its --out."""
    folder = tmp_path_factory.mktemp("gpu-check")
    names = [row.name for row in wanted]
    arguments = command(folder / "weights", "--only", *names, "--out", str(folder / "run.json"))
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=False)
    return done, folder / "run.json"


def test_rows_pass_at_tiny_size_but_those_that_need_a_gpu(whole, wanted):
    done, out = whole
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document == json.loads(out.read_text())
    results = {row["name"]: row["result"] for row in document["rows"]}
    assert list(results) == [row.name for row in wanted]
    assert {name for name, result in results.items() if result == NOT_RUN} == (
        NEEDS_A_GPU | NEEDS_PACKAGES
    ) & results.keys()
    assert {name for name, result in results.items() if result == MISS} == set()
    for row in wanted:
        assert f"{row.name:<27} {results[row.name]:<8} " in done.stdout


def test_a_row_has_its_figures_with_units(whole):
    rows = {row["name"]: row["figures"] for row in json.loads(whole[1].read_text())["rows"]}
    assert rows["server.warm"]["seconds"] > rows["server.warm"]["imports_s"] > 0
    assert rows["engine.forward"]["tflop"] > 0
    assert rows["machine.versions"]["torch"]
    assert rows["train.steps_512"]["steps_per_s"] > 0


def test_every_row_has_a_function_of_its_name():
    for group in GROUPS:
        module = importlib.import_module(f"gpu_check.{group}_rows")
        for row in ROWS:
            if row.group == group:
                assert callable(getattr(module, row.name.partition(".")[2]))


def test_a_row_whose_process_is_killed_is_a_miss_and_the_others_run(tmp_path):
    process = subprocess.Popen(command(tmp_path, "--only", "machine"), stdout=subprocess.PIPE, text=True)
    child = child_of(process)
    child.kill()
    output, _ = process.communicate(timeout=120)
    rows = {row["name"]: row for row in json.loads(output.splitlines()[-1])["rows"]}
    assert process.returncode == 1
    killed = rows.pop("machine.versions")
    assert (killed["result"], "SIGKILL" in killed["measured"]) == (MISS, True)
    assert {row["result"] for row in rows.values()} == {PASS}


def test_sigterm_ends_it_with_the_table_of_what_there_is(tmp_path):
    process = subprocess.Popen(command(tmp_path, "--only", "machine"), stdout=subprocess.PIPE, text=True)
    child = child_of(process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert {row["measured"] for row in json.loads(output.splitlines()[-1])["rows"]} == {"interrupted"}
    assert psutil.wait_procs([child], timeout=10)[1] == []


def child_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The process of its first group, once it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):  # one that has just ended
                if "gpu_check.child" in child.cmdline():
                    return child
        time.sleep(0.01)
    raise AssertionError("no group was begun")


SMI = """#!/bin/sh
case $1 in *memory.used) echo 21000 ;; *) echo 580.95.05 ;; esac
"""


def test_driver_and_memory_are_read_from_nvidia_smi(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert driver() == "580.95.05"
    assert memory_in_use() == pytest.approx(21000 * 2**20 / 1e9)
    monkeypatch.setenv("PATH", "/nowhere")
    assert (driver(), memory_in_use()) == ("unknown", None)


def test_the_memory_that_is_wanted_is_the_one_of_the_docs():
    assert expected_memory() == 22.7


def test_what_cannot_be_done_is_said_in_words():
    done = run("--only", "server.nothing")
    assert done.returncode == 2
    assert "There is no row server.nothing. The rows: machine.versions, " in done.stderr


@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="there is a GPU here")  # noqa: PTH110
def test_without_a_gpu_it_says_so():
    done = run()
    assert done.returncode == 2
    assert "torch finds no CUDA device" in done.stderr
    assert "--tiny" in done.stderr


def test_the_least_important_rows_go_first_and_the_weights_last():
    total = sum(row.seconds for row in ROWS)
    assert rows_within(ROWS, total) == ROWS
    assert sum(row.seconds for row in select_rows([])) <= SECONDS  # all fit into the time that it has by default
    for seconds in range(0, int(total), 10):
        kept = rows_within(ROWS, seconds)
        assert "machine.checkpoint" in {row.name for row in kept}
        assert sum(row.seconds for row in kept) <= max(seconds, 30)
        dropped = [row.importance for row in ROWS if row not in kept]
        others = [row.importance for row in kept if row.name != "machine.checkpoint"]
        assert not dropped or not others or max(others) <= min(dropped)


def test_rows_that_are_dropped_are_named(tmp_path):
    done = subprocess.run(
        command(tmp_path, "--only", "machine", "--seconds", "40"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    rows = {row["name"]: row for row in json.loads(done.stdout.splitlines()[-1])["rows"]}
    assert rows["machine.copy"]["measured"] == "dropped for --seconds 40"
    assert rows["machine.versions"]["result"] == PASS


def test_a_row_that_needs_the_weights_brings_them_along():
    assert [row.name for row in select_rows(["server.text"])] == ["machine.checkpoint", "server.text"]
    assert [row.name for row in select_rows(["machine.versions"])] == ["machine.versions"]


def test_a_training_is_looked_at_where_it_is_asked_for_alone():
    assert {row.group for row in ROWS} - {row.group for row in select_rows([])} == {"train"}
    assert [row.name for row in select_rows(["train"])][1:] == ["train.steps_512", "train.steps_1024"]
    assert [smallest_card(int(peak)) for peak in (10e9, 22e9, 24.5e9, 70e9, 1e12)] == [12, 24, 32, 80, None]


def test_the_table_in_the_docs_is_the_one_of_the_runs_that_are_kept():
    page = report.PAGE.read_text()
    assert report.page_with_table(page) == page


def test_runs_of_several_cards_stand_side_by_side(whole):
    document = json.loads(whole[1].read_text())
    cards = [{**document, "machine": {"card": name}} for name in ("NVIDIA H100", "NVIDIA L40S")]
    head, _, *rows = report.markdown_table(cards).splitlines()
    assert head.startswith("| row | what | NVIDIA H100, ")
    assert "| NVIDIA L40S, " in head
    assert len(rows) == len(ROWS)
    assert all(row.count(" | ") == 3 for row in rows)


def test_only_a_run_on_a_card_is_kept(whole, tmp_path):
    with pytest.raises(ValueError, match="a run of the tiny sizes"):
        report.keep(whole[1])
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="is not what script/gpu-check --out writes"):
        report.keep(tmp_path / "other.json")


def test_an_outcome_survives_json():
    outcome = Outcome("server.text", PASS, "the same pixels", "the same", {"seconds": 1.0})
    assert Outcome(**json.loads(json.dumps(outcome.to_json()))) == outcome
