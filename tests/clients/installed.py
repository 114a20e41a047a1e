"""Clients that others wrote around Replicate's, each unmodified and in a folder of its own outside git."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.calls import REPOSITORY

HERE = Path(__file__).parent
FOLDER = REPOSITORY / ".cache/clients"
INSTALL_S = 240


def install(name: str) -> Path:
    """The folder where the client of `tests/clients/NAME` is ready to run, installed at the first call. Skips the test
    where that cannot be done, since it needs the network.
    """
    source = HERE / name
    files = sorted(path for path in source.iterdir() if path.is_file())
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    folder = FOLDER / name
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        for command in commands(folder):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
            if done.returncode:
                pytest.skip(f"{name} cannot be installed here: {(done.stderr.strip() or done.stdout).splitlines()[-1]}")
        stamp.write_text(wanted)
    return folder


def commands(folder: Path) -> list[list[str]]:
    if (folder / "package.json").is_file():
        if not shutil.which("npm"):
            pytest.skip("there is no npm on the PATH (Debian: npm)")
        shutil.copy(HERE / ".npmrc", folder)
        return [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]]
    # By this pip, and without what nobody imports: another pip there, and compiling all, take longer than the rest.
    # requirements.txt names every package with its version, so that nothing has to be looked for.
    pip = [sys.executable, "-m", "pip", "--python", "venv/bin/python", "--disable-pip-version-check", "--quiet"]
    return [
        [sys.executable, "-m", "venv", "--without-pip", "venv"],
        [*pip, "install", "--no-deps", "--no-compile", "-r", "requirements.txt"],
    ]


def run(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """What the program of `tests/clients/NAME` gives, run as a user of that client runs one."""
    folder = install(name)
    is_node = (folder / "package.json").is_file()
    command = ["node", "program.mjs"] if is_node else [str(folder / "venv/bin/python"), "program.py"]
    # Of this machine's environment only what any program needs: its own packages, not those of these tests.
    own = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return subprocess.run(command, cwd=folder, env=own | environment, capture_output=True, text=True, timeout=INSTALL_S)
