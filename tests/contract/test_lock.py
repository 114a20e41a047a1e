"""requirements.lock: what Cog and the Dockerfile install, each file by its digest."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PINS = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    if not line.startswith("#")
]


def plain(name):
    return re.sub(r"[-_]+", "-", name).lower()


def test_every_pin_is_locked_at_its_version():
    locked = {plain(name): version for name, version in (line.split()[0].split("==") for line in LINES)}
    assert {name: locked.get(plain(name)) for name in PINS} == PINS


def test_each_line_is_a_name_a_version_and_digests_alone():
    """Cog cuts a name at a dot and drops markers; addresses of an index would be somebody's own."""
    assert LINES
    for line in LINES:
        assert re.fullmatch(r"[\w-]+==[\w.+]+(\s+--hash=sha256:[0-9a-f]{64})+", line), line[:80]


PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then exec {real} -c "import sys; sys.version_info = ({version}); $2"; fi
echo "$@"
"""


@pytest.mark.parametrize(
    ("version", "requirements", "installed"),
    [
        ("3.13.1", "", "--require-hashes -r requirements.lock"),
        ("3.12.4", "", "-r requirements.txt"),
        ("3.11.2", "", "-r requirements.txt"),
        ("3.13.1", "requirements.txt", "-r requirements.txt"),  # for PyTorch's wheels for the CPU
        ("3.11.2", "requirements.lock", "--require-hashes -r requirements.lock"),
    ],
)
def test_the_image_has_the_lock_where_it_fits_and_says_so_where_not(tmp_path, version, requirements, installed):
    """On 3.11 pip finds no file for some lines of the lock, and with digests it passes over the CPU's wheels."""
    (command,) = re.findall(r"^RUN (if .*?pip install .*?)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    python = tmp_path / "python"
    python.write_text(PYTHON.format(real=sys.executable, version=version.replace(".", ",")))
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REQUIREMENTS": requirements}
    done = subprocess.run(["sh", "-c", command], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    *said, arguments = done.stdout.splitlines()
    assert arguments == f"-m pip install --no-cache-dir {installed}"
    assert bool(said) == installed.endswith(".txt")
    assert all("requirements.txt" in line and "unchecked by digest" in line for line in said)
