"""Connections that say nothing, or little, without a token: others are answered all the same."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn

from easel.api import connections
from easel.api.connections import Connections, OnceAMinute
from tests.support.api_process import ask, run_api
from tests.support.fault_server import wait_until

FEW_FILES = ("sh", "-c", 'ulimit -S -n 64; ulimit -H -n 700; exec "$@"', "sh")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def begin_to_send(one: socket.socket) -> None:
    """Send all but the last byte of a request, whose head has arrived when this returns."""
    one.sendall(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert b"100" in one.recv(100)
    one.sendall(b"1")


def is_closed(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except ConnectionError:
        return True


def test_more_idle_connections_than_files_stop_nobody_and_fill_no_log(tmp_path):
    with run_api(tmp_path, ["test/model=http://127.0.0.1:9"], prefix=FEW_FILES) as api, ExitStack() as stack:
        for _ in range(800):
            stack.enter_context(connect(api.port))
        assert ask(api, "GET", "/v1/account")[0] == 200
        for _ in range(20):
            with connect(api.port) as one:
                one.sendall(b"nonsense\r\n\r\n")
                assert b"400" in one.recv(100)
        assert ask(api, "GET", "/v1/account")[0] == 200
        text = api.log.read_text()
    assert "socket.accept" not in text
    assert text.count("Invalid HTTP request") <= 1


async def answer(scope, receive, send) -> None:
    """An application whose answer to /large is longer than any buffer."""
    if scope["path"] == "/wait":
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * (50_000_000 if scope["path"] == "/large" else 1)})


@contextmanager
def run_uvicorn(most: int) -> Iterator[int]:
    limits = Connections(most)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(answer, http=limits.protocol, log_config=None, access_log=False, lifespan="off")
        config.timeout_graceful_shutdown = 1
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def test_a_head_that_does_not_come_ends_the_connection(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    with run_uvicorn(100) as port, connect(port) as silent, connect(port) as begun, connect(port) as sending:
        begin_to_send(sending)
        begun.sendall(b"GET / HTTP/1.1\r\nHo")
        assert is_closed(silent)
        assert is_closed(begun)
        sending.sendall(b"2")  # its head was whole in time; its body has the application's time
        assert sending.recv(15) == b"HTTP/1.1 200 OK"


def test_an_answer_that_is_not_read_ends_the_connection(monkeypatch):
    monkeypatch.setattr(connections, "STALL_S", 0.2)
    with run_uvicorn(100) as port, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(20)
        lazy.connect(("127.0.0.1", port))
        lazy.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        done = threading.Event()
        done.wait(1.0)
        read = 0
        try:
            while data := lazy.recv(2**20):
                read += len(data)
        except ConnectionError:
            pass
        assert read < 50_000_000


def test_the_connection_that_says_nothing_for_longest_makes_room_and_one_at_work_does_not():
    with run_uvicorn(3) as port, connect(port) as sending, ExitStack() as stack:
        begin_to_send(sending)
        oldest = stack.enter_context(connect(port))
        oldest.sendall(b"GET")
        others = [stack.enter_context(connect(port)) for _ in range(5)]
        assert is_closed(oldest)
        assert all(map(is_closed, others[:3]))
        others[-1].sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert others[-1].recv(15) == b"HTTP/1.1 200 OK"
        sending.sendall(b"2")
        assert sending.recv(15) == b"HTTP/1.1 200 OK"


def test_the_same_line_is_logged_once_a_minute(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(connections.time, "monotonic", lambda: clock[0])
    once = OnceAMinute()

    def passes(text: str) -> bool:
        return once.filter(logging.LogRecord("asyncio", 40, "", 1, text, (), None))

    found = []
    for clock[0] in (0.0, 1.0, 59.0, 61.0):
        found.append(passes("socket.accept() out of system resource"))
    assert found == [True, False, False, True]
    assert passes("another")
