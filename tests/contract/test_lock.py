"""requirements.lock: what Cog and the Dockerfile install, each file by its digest."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


IMAGE = {"python_version": "3.13", "python_full_version": "3.13.0", "platform_machine": "x86_64"}  # the lock is for it


def required_by(name, extras, version):
    """What a package requires in the image, as requirements; None where that very version is not installed here."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return None
    if package.version.partition("+")[0] != version:
        return None
    found = [Requirement(line) for line in package.requires or []]
    return [
        each
        for each in found
        if not each.marker or any(each.marker.evaluate({**IMAGE, "extra": extra}) for extra in extras or {""})
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose packages the lock has")
def test_what_a_locked_package_requires_is_locked_in_a_version_that_it_takes():
    """Else pip, which takes nothing without a digest then, refuses the whole file."""
    locked = {plain(name): version for name, version in (line.split()[0].split("==") for line in LINES)}
    waiting, seen, wrong = [(plain(name), frozenset[str]()) for name in PINS], set(), []
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for each in required_by(name, extras, locked[name]) or []:
            if plain(each.name) not in locked or not each.specifier.contains(locked[plain(each.name)]):
                wrong.append(f"{name} requires {each}")
            else:
                waiting.append((plain(each.name), frozenset(each.extras)))
    assert wrong == []
    assert {name for name, _ in seen} >= {plain(name) for name in PINS}
    assert len(seen) > 2 * len(PINS)


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
