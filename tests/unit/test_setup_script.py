"""Which Python script/setup takes for .venv: stand-ins on a PATH of their own, nothing is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    "requirements.txt",
    "requirements-api.txt",
    "requirements-plan.txt",
    "requirements-modal.txt",
    "requirements-batch.txt",
    "requirements-dev.txt",
    "pyproject.toml",
)
CLIENTS = ("requirements-2.txt", "package-lock.json")

# As a Python of some version: what it is asked with -c, its venv (which has the same), and a pip that does nothing.
STAND_IN = """#!/bin/bash
if [[ $1 == -c ]]; then
  exec {real} -c 'import sys; sys.version_info = ({version}); exec(sys.argv[1])' "$2"
elif [[ "$1 $2" == "-m venv" ]]; then
  mkdir -p .venv/bin && cp "$0" .venv/bin/python
fi
"""


class Folder:
    """A checkout with nothing but script/setup and what it reads."""

    def __init__(self, root: Path) -> None:
        self.root, self.binaries = root / "checkout", root / "bin"
        (self.root / "script").mkdir(parents=True)
        (self.root / "tests/clients").mkdir(parents=True)
        self.binaries.mkdir()
        shutil.copy(ROOT / "script/setup", self.root / "script")
        for name in (*NEEDED, *(f"tests/clients/{name}" for name in CLIENTS)):
            shutil.copy(ROOT / name, self.root / name)
        for command in ("bash", "cat", "cksum", "cp", "dirname", "mkdir", "rm"):
            (self.binaries / command).symlink_to(shutil.which(command))

    def add(self, name: str, version: str, folder: Path | None = None) -> None:
        path = (folder or self.binaries) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAND_IN.format(real=sys.executable, version=version.replace(".", ",")))
        path.chmod(0o755)

    def add_shim(self, name: str) -> None:
        """As pyenv leaves one for each version that it has, and that it then refuses to run."""
        (self.binaries / name).write_text("#!/bin/bash\necho 'pyenv: command not found' >&2\nexit 127\n")
        (self.binaries / name).chmod(0o755)

    def setup(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": str(self.binaries), **variables}
        return subprocess.run(
            [self.root / "script/setup"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


def test_the_newest_that_runs_is_taken_and_named(folder):
    folder.add_shim("python3.13")
    folder.add("python3.12", "3.12.4")
    folder.add("python3.11", "3.11.7")
    done = folder.setup()
    assert done.returncode == 0, done.stderr
    assert f"Making .venv with Python 3.12.4, {folder.binaries}/python3.12 ..." in done.stderr
    assert folder.setup().stderr == ""  # nothing changed


def test_on_macos_it_says_what_is_not_tested_and_goes_on(folder):
    folder.add("python3.13", "3.13.1")
    done = folder.setup(OSTYPE="darwin24")
    assert done.returncode == 0
    assert "macOS: setup goes on" in done.stderr
    assert "Ready" in done.stderr


@pytest.mark.parametrize("system", ["msys", "cygwin"])
def test_on_windows_it_stops_and_names_wsl2(folder, system):
    folder.add("python3.13", "3.13.1")
    done = folder.setup(OSTYPE=system)
    assert done.returncode == 1
    assert "WSL2" in done.stderr
    assert not (folder.root / ".venv").exists()


@pytest.mark.parametrize(("name", "version"), [("python3.13", "3.13.0"), ("python3", "3.13.9"), ("python", "3.11.2")])
def test_any_name_will_do(folder, name, version):
    folder.add(name, version)
    assert f"Making .venv with Python {version}, " in folder.setup().stderr


@pytest.mark.parametrize("version", ["3.10.13", "3.14.0"])
def test_others_are_refused_in_words(folder, version):
    folder.add("python3", version)
    folder.add_shim("python3.13")
    done = folder.setup()
    assert done.returncode == 1
    assert "Easel needs Python 3.11, 3.12 or 3.13, and none is on the PATH." in done.stderr
    assert not (folder.root / ".venv").exists()


def test_a_venv_that_works_is_kept_although_a_newer_python_is_there(folder):
    folder.add("python", "3.11.7", folder.root / ".venv/bin")
    folder.add("python3.13", "3.13.0")
    done = folder.setup()
    assert done.returncode == 0, done.stderr
    assert "Keeping .venv, which has Python 3.11.7 ..." in done.stderr
    assert "Making" not in done.stderr


def test_a_venv_of_another_version_is_made_anew(folder):
    folder.add("python", "3.10.2", folder.root / ".venv/bin")
    folder.add("python3.13", "3.13.0")
    assert "Making .venv with Python 3.13.0" in folder.setup().stderr
