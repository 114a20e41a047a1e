"""`easel weights`: lock and status, mistakes, and the bar."""

import contextlib
import io
import os
import re
import subprocess
import sys
import termios
import time

import pytest

from easel.progress import ByteBar
from easel.weights.manifest import read_manifest
from tests.server.weights_commands.common import FILES, SMALL, row
from tests.support.model_folders import WEIGHTS, digest, entry, local_model, write_model


def test_lock_pins_what_it_fetches_and_what_lies_beside_it(easel, tmp_path):
    model = local_model(tmp_path, FILES, size=None, digest=None)
    state = "2 of 2 files missing, 0 bytes to fetch and 2 of unknown size; 2 not pinned: `easel weights lock tiny`"
    assert state in row(easel("status")[1], "tiny")
    (model.folder / "tokenizer.json").write_bytes(b"{}")
    code, _, log = easel("lock", "tiny")
    assert code == 0
    assert f"vae/config.json: 12 bytes, {digest(SMALL)} (fetched)" in log
    assert log.splitlines()[-1].endswith("weights.lock: 4 of 4 files are pinned by size and SHA-256.")
    files = {file.path: file for file in read_manifest(model.folder).files}
    assert list(files) == ["model_index.json", "tokenizer.json", "transformer/model.safetensors", "vae/config.json"]
    assert (files["vae/config.json"].size, files["vae/config.json"].digest) == (len(SMALL), digest(SMALL))
    assert files["vae/config.json"].source == f"file:{tmp_path}/origin/vae/config.json"
    assert files["tokenizer.json"].source is None
    before = (model.folder / "weights.lock").read_bytes()
    assert easel("lock", "tiny")[0] == 0
    assert (model.folder / "weights.lock").read_bytes() == before
    assert easel("pull", "tiny")[0] == easel("verify", "tiny")[0] == 0


def test_lock_says_what_it_cannot_pin_and_keeps_the_rest(easel, tmp_path):
    model = local_model(tmp_path, FILES, size=None, digest=None)
    (tmp_path / "origin/vae/config.json").unlink()
    code, _, log = easel("lock", "tiny")
    assert code == 1
    assert "weights.lock: 2 of 3 files are pinned by size and SHA-256." in log
    assert f"vae/config.json is not pinned: file:{tmp_path}/origin/vae/config.json: there is no such file" in log
    assert [file.path for file in read_manifest(model.folder).files if not file.is_pinned] == ["vae/config.json"]


def test_lock_of_a_model_without_sources_is_that_of_its_folder(easel, tmp_path):
    folder = write_model(tmp_path, "tiny", [entry("gone.json", b"", None)], {"a.json": b"a"})
    (folder / "weights.lock").unlink()
    assert easel("lock", "tiny")[0] == 0
    assert [(file.path, file.digest) for file in read_manifest(folder).files] == [("a.json", digest(b"a"))]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "easel.cli", "weights", *arguments]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=30)


def test_mistakes_end_in_a_sentence_and_an_exit_code(tmp_path):
    unknown = run("pull", "nosuch")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "There is no model 'nosuch'" in unknown.stderr
    assert "Models here: emoji, z-image-turbo" in unknown.stderr
    nowhere = run("prune", "--root", str(tmp_path), EASEL_CACHE_DIR=str(tmp_path))
    assert nowhere.returncode == 2
    assert nowhere.stderr == f"There is no model in {tmp_path}/weights: --root is the folder of this repository.\n"


def test_the_models_of_this_repository_have_a_status(tmp_path):
    status = run("status", EASEL_CACHE_DIR=str(tmp_path / "cache"), HF_HOME=str(tmp_path))
    assert status.returncode == 0, status.stderr
    assert re.split(r"  +", row(status.stdout, "emoji"))[3:] == [str(WEIGHTS / "emoji"), "embedded"]
    sourced = sum(file.source is not None for file in read_manifest(WEIGHTS / "z-image-turbo").files)
    assert f"{sourced} of {sourced} files missing, 20.88 GB" in row(status.stdout, "z-image-turbo")


def test_help_teaches_where_files_are_looked_for():
    text = run("--help").stdout
    for word in ("EASEL_WEIGHTS_DIR", "EASEL_CACHE_DIR", "HF_TOKEN", "pull", "verify", "status", "prune", "lock"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


def test_what_is_over_soon_needs_no_bar():
    stream = io.StringIO()
    with ByteBar(100, stream) as bar:
        bar.advance(100)
    assert stream.getvalue() == ""


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(ByteBar, "delay_s", 0.0)


def test_a_bar_in_a_log_is_a_few_whole_lines(at_once):
    stream = io.StringIO()
    with ByteBar(3_000_000, stream) as bar:
        for _ in range(300):
            bar.advance(10_000)
    first, last = stream.getvalue().splitlines()
    assert re.fullmatch(r"0%\|.*\| 0\.00/3\.00M \[00:00<\?, \?B/s\]", first)
    assert re.fullmatch(r"100%\|.*\| 3\.00M/3\.00M \[.*B/s\]", last)


def test_a_bar_in_a_log_is_renewed_every_two_seconds(at_once, monkeypatch):
    assert ByteBar.line_s == 2.0
    monkeypatch.setattr(ByteBar, "line_s", 0.1)
    stream = io.StringIO()
    with ByteBar(100, stream) as bar:
        for _ in range(60):
            bar.advance(1)
            time.sleep(0.01)
        assert 3 <= len(stream.getvalue().splitlines()) <= 8


def read_to_end(terminal: int) -> str:
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as stream:  # EIO: nobody writes any more
        while data := stream.read(10_000):
            shown += data
    return shown.decode()


def test_a_bar_on_a_terminal_stays_on_one_line_and_makes_way_for_the_log(at_once):
    reader, writer = os.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    with os.fdopen(writer, "w") as terminal, ByteBar(100, terminal) as bar:
        bar.advance(50)
        bar.log_above(lambda text: terminal.write(text + "\n"), "a line")
        bar.advance(50)
    shown = read_to_end(reader)
    before, _, after = shown.partition("a line\r\n")
    assert before.strip(" ").endswith("\r")
    assert "0.00/100" in before
    assert "100/100" in after
    assert after.count("\n") == 1
