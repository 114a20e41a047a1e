"""`script/container`: what it says, and, where there is a Docker engine with a base image, the container itself."""

import base64
import io
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from easel.local.client import call
from tests.support.docker_engine import docker, needs_image

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "script/container"
BASE = os.environ.get("EASEL_TEST_BASE", "python:3.13-slim")


def run_script(*arguments, **environment):
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def folder_without_docker(folder):
    for command in ("bash", "dirname", "cat"):
        (folder / command).symlink_to(shutil.which(command))
    return str(folder)


def test_help_says_what_there_is():
    done = run_script("--help")
    assert done.returncode == 0
    for word in ("emoji", "z-image-turbo", "--port", "--base", "--host-network", "--build-only", "easel-cache", "69"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sdxl"], "sdxl is neither a model (emoji, z-image-turbo) nor an option"),
        (["--gpu"], "--gpu is neither a model"),
        (["emoji", "z-image-turbo"], "Name one model, not two"),
        (["--port"], "--port needs a value"),
        (["--port", "0"], "--port 0 is no port"),
        (["--port", "65536"], "--port 65536 is no port"),
        (["--port", "http"], "--port http is no port"),
    ],
)
def test_wrong_arguments_are_said(arguments, sentence):
    done = run_script(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stdout == ""


def test_no_docker_command_is_said(tmp_path):
    done = run_script(PATH=folder_without_docker(tmp_path))
    assert done.returncode == 69
    assert "The command docker is not here: install Docker Engine." in done.stderr
    assert "script/serve" in done.stderr


@pytest.mark.skipif(not shutil.which("docker"), reason="needs the command docker, with an engine or not")
def test_no_engine_is_said(tmp_path):
    done = run_script(DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 69
    assert f"unix://{tmp_path}/docker.sock" in done.stderr
    assert "Start it, or ask for access to it." in done.stderr


@pytest.fixture(scope="module")
def served():
    """The script at work: its process, its URL, and the name of its container."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["emoji", "--base", BASE, "--port", str(port)]
    if b"bridge" not in docker("network", "ls", "--format", "{{.Name}}").split():
        arguments.append("--host-network")
    command = [SCRIPT, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as script:
        try:
            line = script.stdout.readline()
            assert line.startswith("Ready after "), line
            yield script, f"http://127.0.0.1:{port}", f"easel-emoji-{script.pid}"
        finally:
            script.terminate()


@needs_image(BASE)
def test_the_container_makes_a_picture_and_ctrl_c_removes_it(served):
    script, url, name = served
    inputs = {"prompt": "a red apple", "seed": 7, "output_format": "png"}
    status, prediction = call("POST", f"{url}/predictions", {"input": inputs})
    assert status == 200
    image = Image.open(io.BytesIO(base64.b64decode(prediction["output"][0].partition(",")[2])))
    red, green, blue = image.resize((1, 1), box=(40, 50, 90, 100)).getpixel((0, 0))
    assert image.size == (128, 128)
    assert red > 2 * max(green, blue)
    assert docker("exec", name, "id", "--user").strip() == b"1000"
    docker("exec", name, "touch", "/cache/writable")
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(timeout=60) == 130
    assert name.encode() not in docker("ps", "--all", "--format", "{{.Names}}").split()
