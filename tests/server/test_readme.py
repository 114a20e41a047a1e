"""The README's commands, as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from easel.local.client import predict, save_output
from tests.server.calls import REPOSITORY

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
TIMEOUT_S = 120
FIRST = 'script/predict -i prompt="a red apple"'


def block(language: str, words: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and words in text]
    return found


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same_picture(path: Path, other: Path) -> bool:
    with Image.open(path) as one, Image.open(other) as two:
        return one.convert("RGB").tobytes() == two.convert("RGB").tobytes()


@pytest.mark.skipif(not (REPOSITORY / ".venv/.easel-setup").exists(), reason="script/setup has not made .venv")
@pytest.mark.parametrize(
    ("words", "files"),
    [
        (FIRST, ["output.0.webp"]),
        ("-o images", ["images/output.0.webp", "images/output.1.webp"]),
        ("sketch.jpg", ["output.0.webp"]),
        ("roof.png", ["output.0.webp"]),
        ("blue-ink", ["output.0.webp"]),
    ],
)
def test_the_command_line_makes_the_files_and_prints_their_paths(request, tmp_path, words, files):
    command = re.sub(r"\b(script|samples)/", rf"{REPOSITORY}/\1/", block("sh", words)).strip()
    if words != FIRST:  # One is enough to see that the command starts a server of its own.
        assert "\n" not in command
        command += f" --server {request.getfixturevalue('server').url}"
    assert run(["bash", "-c", command], tmp_path).split() == files
    for file in files:
        with Image.open(tmp_path / file) as image:
            assert image.format == "WEBP"


CALLS = {  # language of the block, words in it, how it is run, what it prints
    "curl": ("sh", "127.0.0.1:5000", lambda text: ["bash", "-c", text], ""),
    "python": ("python", "urllib", lambda text: [sys.executable, "-c", text], "[7]\n"),
    "node": ("js", "fetch", lambda text: ["node", "--input-type=module", "-e", text], "[ 7 ]\n"),
}


@pytest.mark.parametrize("program", CALLS)
def test_each_way_to_call_the_server_gets_the_picture(tmp_path, server, program):
    if shutil.which(program) is None and program != "python":
        pytest.skip(f"{program} is not installed: its lines in the README were not run")
    language, words, command, printed = CALLS[program]
    text = block(language, words)
    assert "http://127.0.0.1:5000" in text
    assert run(command(text.replace("http://127.0.0.1:5000", server.url)), tmp_path) == printed
    (made,) = tmp_path.iterdir()
    save_output(
        predict(server.url, {"prompt": "a red apple", "seed": 7}, lambda text: None)["output"], tmp_path, "expected"
    )
    assert same_picture(made, tmp_path / "expected.0.webp")


def test_every_file_that_the_readme_names_is_there():
    text = (REPOSITORY / "README.md").read_text()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    files = linked + re.findall(r"`((?:src|docs|weights|recipes|samples)/[^`*]+)`", text)
    assert "docs/speed.md" in files
    for file in files:
        assert (REPOSITORY / file).exists(), file
