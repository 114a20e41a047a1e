"""`easel api --gpus`: a server for each card of a made-up list, work for all of them, a new one for one that dies."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psutil
import pytest

from easel.cli.gpus import find_devices
from easel.errors import InputError
from tests.server.calls import wait_for

TOKEN = "token-of-the-tests"
RUNNER = '''
import os
import time

from cog import BaseRunner, Input


class Runner(BaseRunner):
    def setup(self) -> None:
        time.sleep(float(os.environ.get("SLOW_SETUP", "0")))

    def run(self, prompt: str = Input(description="Any.")) -> str:
        """Which card this process sees."""
        time.sleep(0.5)
        return os.environ["CUDA_VISIBLE_DEVICES"]
'''


@pytest.fixture
def root(tmp_path):
    (tmp_path / "predict.py").write_text(RUNNER)
    return tmp_path


@contextmanager
def api_on_cards(root, devices, **environ):
    """The process of a real `easel api --gpus all`, and its address."""
    command = [
        sys.executable,
        "-m",
        "easel.cli",
        "api",
        "--root",
        str(root),
        "--port",
        "0",
        "--data",
        str(root / "data"),
    ]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": devices, "EASEL_API_TOKENS": TOKEN, **environ}
    with (root / "api.log").open("wb") as log:
        process = subprocess.Popen([*command, "--gpus", "all"], stdout=subprocess.PIPE, stderr=log, env=environment)
    try:
        yield process, process.stdout.readline().decode().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def post(url: str) -> dict:
    body = json.dumps({"input": {"prompt": "x"}}).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Prefer": "wait=20"}
    request = urllib.request.Request(f"{url}/v1/models/easel/emoji/predictions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait_for_model(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            post(url)
            return
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            time.sleep(0.2)
    raise AssertionError("no server is ready")


def cards_that_answer(url: str, count: int) -> list[str]:
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(post, [url] * count))
    assert {answer["error"] for answer in answers} == {None}
    return [answer["output"] for answer in answers]


def servers_of(process: subprocess.Popen) -> dict[str, int]:
    """The Cog servers by the card that they see."""
    found = {}
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # one that has died, also while its parent does not know it yet
            found[child.environ()["CUDA_VISIBLE_DEVICES"]] = child.pid
    return found


def test_each_card_has_a_server_work_is_spread_and_one_that_dies_comes_back(root):
    with api_on_cards(root, "0,GPU-1a2b") as (process, url):
        wait_for_model(url)
        wait_for(lambda: len(servers_of(process)) == 2, "two servers")
        wait_for(lambda: set(cards_that_answer(url, 4)) == {"0", "GPU-1a2b"}, "both take work")
        first = servers_of(process)
        os.killpg(first["0"], signal.SIGKILL)  # a server has a process group of its own
        wait_for(lambda: servers_of(process).get("0") not in (None, first["0"]), "it is started again")
        wait_for(lambda: set(cards_that_answer(url, 4)) == {"0", "GPU-1a2b"}, "both take work again")
        assert servers_of(process)["GPU-1a2b"] == first["GPU-1a2b"]
        pids = servers_of(process).values()
    assert process.returncode == 0
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), "its servers are gone")
    assert "GPU GPU-1a2b: ready after " in (root / "api.log").read_text()


def test_ctrl_c_while_the_models_load_ends_it_and_them(root):
    with api_on_cards(root, "0,1", SLOW_SETUP="300") as (process, _):
        wait_for(lambda: len(servers_of(process)) == 2, "two servers")
        pids = servers_of(process).values()
    assert process.returncode == 0
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), "its servers are gone")


@pytest.mark.parametrize(
    ("wanted", "visible", "devices"),
    [
        ("all", "0,1", ["0", "1"]),
        ("all", " 3 , GPU-8a-b ,", ["3", "GPU-8a-b"]),
        ("2", "0,1", ["2"]),
        ("1,0", None, ["1", "0"]),
        ("MIG-a/1/0", None, ["MIG-a/1/0"]),
    ],
)
def test_which_cards_are_meant(wanted, visible, devices):
    assert find_devices(wanted, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == devices


@pytest.mark.parametrize(
    ("wanted", "visible", "words"),
    [
        ("all", "", "no card is visible"),
        ("all", None, "no card is visible"),
        ("two", "0", "'two' is no card"),
        ("0,-1", "0", "'-1' is no card"),
        ("1,1", "0", "names a card twice"),
        (",", "0", "no card is visible"),
    ],
)
def test_what_is_no_card_is_refused(wanted, visible, words, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # no nvidia-smi
    with pytest.raises(InputError, match=words):
        find_devices(wanted, {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})


def test_the_driver_is_asked_where_the_environment_says_nothing(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 0\necho 1\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_devices("all", {}) == ["0", "1"]
