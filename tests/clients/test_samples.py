"""The programs in samples/clients, run as a user runs them."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.clients.cases import NODE_MODULES, REPLICATE_2, TIMEOUT_S, environment
from tests.clients.inputs import APPLE, MODEL
from tests.server.calls import REPOSITORY, answer_to, images
from tests.support.api_process import ask

SAMPLES = REPOSITORY / "samples/clients"
APPLES = ["apple.0.webp", "apple.1.webp"]
PROGRAMS = {  # how it is called, what else has to be there, what it makes
    "python 1": ([sys.executable, "python.py"], [sys.executable], [*APPLES, "face.0.webp"]),
    "python 2": ([sys.executable, "python.py"], [REPLICATE_2], [*APPLES, "face.0.webp"]),
    "javascript": (["node", "javascript.mjs"], ["node", NODE_MODULES], [*APPLES, "face.0.webp"]),
    "curl": (["bash", "curl.sh"], ["curl", "jq"], APPLES),
}


def run(program: str, api, folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    """In `folder`, a copy beside what its user would have installed there."""
    command, needed, _ = PROGRAMS[program]
    for one in needed:
        if not (shutil.which(one) or Path(one).exists()):
            pytest.skip(f"{one} is missing: the sample for {program} was not run")
    shutil.copy(SAMPLES / command[1], folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    base = f"{api.url}/v1" if program == "python 2" else api.url
    path = str(REPLICATE_2) if program == "python 2" else ""
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment(api, base, PYTHONPATH=path) | more,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.fixture(scope="module")
def apples(cog) -> list[bytes]:
    """What the Cog server draws for the samples' first request."""
    return pixels(images(answer_to(cog, prompt="a red apple", num_outputs=2, seed=7)))


def pixels(pictures: list[Image.Image]) -> list[bytes]:
    return [picture.convert("RGB").tobytes() for picture in pictures]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_sample_prints_the_paths_of_its_pictures(api, apples, tmp_path, program):
    done = run(program, api, tmp_path)
    assert done.returncode == 0, done.stderr
    paths = done.stdout.splitlines()
    assert [path.removeprefix("./") for path in paths] == PROGRAMS[program][2]
    pictures = [Image.open(tmp_path / path) for path in paths]
    assert {picture.format for picture in pictures} == {"WEBP"}
    assert pixels(pictures)[:2] == apples
    for picture in pictures:
        picture.close()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_sample_takes_model_and_folder_and_tells_what_was_refused(api, tmp_path, program):
    done = run(program, api, tmp_path, "easel/nothing", "images/of mine")
    assert done.returncode == 1
    assert "There is no model easel/nothing" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "images/of mine").is_dir()


@pytest.fixture
def webhook(api) -> Iterator[subprocess.Popen]:
    with started_webhook(api) as process:
        yield process
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout.read() == "Stopped.\n"


@contextmanager
def started_webhook(api) -> Iterator[subprocess.Popen]:
    command = [sys.executable, SAMPLES / "webhook.py", "0"]
    with subprocess.Popen(command, env=environment(api, api.url), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # Else a failure would wait for it for ever.


def test_the_receiver_ends_on_ctrl_c(api):
    with started_webhook(api) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "Stopped.\n"
        assert process.wait(10) == 0


def test_the_receiver_prints_what_is_signed_and_refuses_what_is_not(api, version, webhook):
    url = webhook.stdout.readline().strip()
    body = {"input": APPLE, "webhook": url, "webhook_events_filter": ["start", "completed"]}
    status, prediction = ask(api, "POST", f"/v1/models/{MODEL}/predictions", body)
    assert status == 201, prediction
    identity = prediction["id"]
    assert webhook.stdout.readline().split() == [identity, "processing"]
    assert webhook.stdout.readline().split() == [identity, "succeeded", f"{api.url}/delivery/{identity}/out-0.webp"]
    forged = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,bm8="}
    request = urllib.request.Request(url, json.dumps(prediction).encode(), forged)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
    with error.value:
        assert error.value.code == http.client.UNAUTHORIZED
    assert webhook.stdout.readline().startswith("refused: ")
