"""A Docker engine, where there is one: tests that need it say why they are skipped."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest


def engine_is_missing() -> str:
    """Why there is no engine, or an empty text."""
    if not shutil.which("docker"):
        return "the command docker is not here"
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=30, check=False)
    return asked.stderr.strip().splitlines()[-1] if asked.returncode else ""


REASON = engine_is_missing()
needs_engine = pytest.mark.skipif(bool(REASON), reason=f"needs a Docker engine: {REASON}")


def needs_image(image: str) -> pytest.MarkDecorator:
    """For a test that builds on an image and must not pull it."""
    asked = ["docker", "image", "inspect", image]
    missing = bool(REASON) or subprocess.run(asked, capture_output=True, timeout=30, check=False).returncode != 0
    reason = f"the image {image}: docker pull {image}"
    return pytest.mark.skipif(missing, reason=f"needs {f'a Docker engine: {REASON}' if REASON else reason}")


def docker(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["docker", *arguments], input=stdin, capture_output=True, timeout=120, check=True).stdout


def build_scratch(root: Path) -> set[str]:
    """The files that a build of `root` gets to see, relative to it: those of an image that is nothing but them."""
    name = f"easel-test-{root.name.lower()}"
    docker("build", "--tag", name, "--file", "-", str(root), stdin=b'FROM scratch\nCOPY . /context/\nCMD ["none"]\n')
    container = docker("create", name).decode().strip()
    try:
        with tarfile.open(fileobj=io.BytesIO(docker("export", container))) as exported:
            names = {member.name for member in exported if not member.isdir()}
    finally:
        docker("rm", container)
        docker("rmi", name)
    return {name.removeprefix("context/") for name in names if name.startswith("context/")}
