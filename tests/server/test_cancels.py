"""A cancel that strikes while Cog prepares the input files, and what Cog hears of one that is not obeyed."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from easel.inference.health import STUCK_S
from easel.local.client import call, read_state, send
from easel.local.server import Server, run_server
from tests.server.calls import Caller, answer_to, mask, picture, wait_for, wait_until_busy
from tests.support.rounds import rounds

CANCELS = rounds(usual=40, full=400)
LATEST_S = 0.02  # after the request is in work: it then still prepares its files

RUNNER = '''
import threading
import time
from pathlib import Path as File

from cog import BaseRunner, CancelationException, Input, Path, types

from easel.inference.cog_downloads import guard_downloads, limits
from easel.inference.health import Health
from easel.inference.temp_files import Uploads

converted = []


class Runner(BaseRunner):
    def setup(self) -> None:
        self.health = Health(CancelationException, clock=lambda: float(File("clock").read_text()))
        guard_downloads(types, limits(), Uploads(), self.health.prediction)
        convert = types.URLPath.convert
        def remembered(path):
            converted.append(threading.get_ident())
            return convert(path)
        types.URLPath.convert = remembered

    def healthcheck(self) -> bool:
        return self.health.is_well()

    def run(
        self,
        image: Path | None = Input(default=None, description="Any."),
        mask: Path | None = Input(default=None, description="Any."),
        deaf: bool = Input(default=False, description="Catch the cancel, and go on until there is a file `end`."),
    ) -> str:
        """Say in how many threads the files were converted, and whether that was this one."""
        try:
            with self.health.prediction():
                try:
                    while deaf:
                        time.sleep(0.01)
                except CancelationException:
                    File("struck").touch()
                    while not File("end").exists():
                        time.sleep(0.01)
                    raise
            return f"{len(converted)} in {set(converted) == {threading.get_ident()}}"
        finally:
            converted.clear()
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "predict.py").write_text(RUNNER)
    (folder / "clock").write_text("0")
    return folder


@pytest.fixture(scope="module")
def toy(root) -> Iterator[Server]:
    with run_server(root, timeout=60) as server:
        yield server


def test_cog_converts_input_files_in_the_threads_of_their_request(toy):
    """Fails if a newer Cog looks up its executor elsewhere: cancels can then be lost again."""
    answer = answer_to(toy, image=picture(), mask=mask())
    assert answer["output"] == "2 in True"


def test_an_error_of_a_conversion_is_the_requests(toy):
    status, answer = send(toy.url, {"input": {"image": "http://127.0.0.1:1/none.png", "mask": mask()}})
    assert (status, answer["status"]) == (200, "failed"), answer
    assert answer_to(toy, image=picture(), mask=mask())["status"] == "succeeded"


def health_of(server: Server) -> dict:
    return call("GET", f"{server.url}/health-check")[1]


def test_cog_says_unhealthy_while_a_cancel_is_not_obeyed(root, toy):
    caller = Caller(toy, "deaf", deaf=True)
    wait_until_busy(toy)
    (root / "clock").write_text(str(STUCK_S))
    assert health_of(toy)["status"] == "BUSY"
    call("POST", f"{toy.url}/predictions/deaf/cancel")
    wait_for((root / "struck").exists, "the cancel never struck")
    assert health_of(toy)["status"] == "BUSY"
    (root / "clock").write_text(str(2 * STUCK_S))
    health = health_of(toy)
    assert health["status"] == "UNHEALTHY"
    assert "healthcheck returned False" in health["user_healthcheck_error"]
    (root / "end").touch()
    caller.join(30)
    assert caller.answer["status"] == "canceled"
    wait_for(lambda: health_of(toy)["status"] == "READY", "it never was well again")


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """They make threads wait for a processor, between any two instructions."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def test_cancels_while_files_are_prepared_never_hang_the_server(server):
    """CPython 3.11 lost one in some fifty of them, and served nobody any more; see easel/inference/cog_downloads.py."""
    inputs = {"prompt": "dog", "width": 64, "height": 64, "num_inference_steps": 2, "image": picture(), "mask": mask()}
    moments = random.Random(3)
    with busy_processes(3):
        for k in range(CANCELS):
            caller = Caller(server, f"early-{k}", **inputs)
            wait_for(
                lambda caller=caller: read_state(server.url) == "BUSY" or not caller.is_alive(), "it never started"
            )
            time.sleep(moments.uniform(0, LATEST_S))
            caller.cancel()
            assert caller.answer["status"] in ("canceled", "succeeded"), f"{k}: {caller.answer}"
