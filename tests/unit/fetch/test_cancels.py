"""A guarded fetch: a cancel strikes soon, wherever it waits."""

import ctypes
import socket
import threading
import time
from pathlib import Path

import pytest

from easel.errors import FetchError
from easel.net import guard as network_module
from easel.net.fetch import fetch_bytes
from easel.net.guard import Network
from easel.net.resolver import start_resolver
from tests.support.fault_server import Answer, wait_until
from tests.unit.fetch.common import BODY, QUICK, changed, resolver

pytestmark = pytest.mark.slow


class Cancelled(BaseException):
    pass


class Fetching:
    """A fetch in a thread of its own, that can be cancelled as Cog cancels: by an exception from outside."""

    def __init__(self, work):
        self.ended_with = None
        self.thread = threading.Thread(target=self._run, args=(work,))
        self.thread.start()

    def _run(self, work):
        try:
            work()
        except BaseException as error:
            self.ended_with = type(error)

    def cancel(self):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(Cancelled))
        self.thread.join(10)
        assert not self.thread.is_alive(), "a wait of 20 s was not cut short"


SLOW = Network(allow_loopback=True, backoff_s=20)


@pytest.mark.parametrize(
    "fault",
    [Answer(stall=-1), Answer(body=BODY, stall=0), Answer(body=BODY, stall=200_000)],
    ids=["no headers", "no body", "half a body"],
)
def test_stalled_fetch_is_cancelled_soon_and_leaves_nothing(server, get, tmp_path, fault):
    server.routes["/a"] = fault
    fetching = Fetching(lambda: get("/a", network=SLOW))
    assert server.stalled.wait(5)
    time.sleep(0.05)
    fetching.cancel()
    assert fetching.ended_with is Cancelled
    assert list(tmp_path.iterdir()) == []


def test_wait_between_attempts_is_cancelled_soon(server, get, tmp_path, logs):
    server.routes["/a"] = Answer(status=503)
    fetching = Fetching(lambda: get("/a", network=SLOW))
    wait_until(lambda: logs)
    fetching.cancel()
    assert fetching.ended_with is Cancelled
    assert list(tmp_path.iterdir()) == []


def test_no_cancel_is_lost_however_it_falls_into_a_name_look_up():
    network = changed(resolve=resolver(public=["8.8.8.8"]))

    def work():
        while True:
            network_module.resolve_host("public", 443, network, time.monotonic() + 5)

    for k in range(200):
        fetching = Fetching(work)
        time.sleep(k / 200_000)
        fetching.cancel()
        assert fetching.ended_with is Cancelled


def test_name_look_up_is_cancelled_soon(get, tmp_path):
    asked, release = threading.Event(), threading.Event()

    def resolve(*_, **__):
        asked.set()
        release.wait(60)
        return []

    fetching = Fetching(lambda: get("https://slow/a", network=Network(resolve=resolve)))
    try:
        assert asked.wait(5)
        fetching.cancel()
        assert fetching.ended_with is Cancelled
        assert list(tmp_path.iterdir()) == []
    finally:
        release.set()


def test_connection_and_handshake_that_nobody_answers_are_cancelled_soon(get, tmp_path, logs):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the connection, nobody the handshake
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/a"
        fetching = Fetching(lambda: get(url, network=SLOW))
        time.sleep(0.3)
        fetching.cancel()
    assert fetching.ended_with is Cancelled
    assert list(tmp_path.iterdir()) == []


def test_fetch_can_be_repeated_after_a_cancel(server, get, tmp_path):
    server.routes["/a"] = [Answer(body=BODY, stall=9), Answer(body=BODY)]
    fetching = Fetching(lambda: get("/a", network=SLOW))
    assert server.stalled.wait(5)
    fetching.cancel()
    get("/a")
    assert (tmp_path / "file").read_bytes() == BODY


def test_fetch_leaves_no_thread_or_socket_open(server, logs):
    server.routes["/a"] = Answer(body=b"{}")
    for _ in range(3):
        fetch_bytes(f"{server.url}/a", label="a", log=logs.append, network=QUICK)
    wait_until(lambda: not any(thread.name.endswith("(process_request_thread)") for thread in threading.enumerate()))
    before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
    for _ in range(3):
        fetch_bytes(f"{server.url}/a", label="a", log=logs.append, network=QUICK)
    wait_until(lambda: (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before)


def test_fetch_starts_no_thread_since_one_could_take_its_cancel(monkeypatch):
    start_resolver()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a fetch started a thread"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://localhost:{silent.getsockname()[1]}/a"
        with pytest.raises(FetchError, match="sent nothing"):
            fetch_bytes(url, label="a", log=lambda line: None, network=changed(retries=0, stall_s=0.3))
