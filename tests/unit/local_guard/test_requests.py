"""The guard of script/serve: requests."""

import json
import threading

import pytest

from easel.local.guard import guarded
from easel.local.server import bind
from tests.unit.local_guard.common import connect, read_all, read_until


def ask(port: int, head: str, body: bytes = b"") -> bytes:
    with connect(port) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        return read_all(connection)


FOREIGN = {
    "a form of another site": "POST /shutdown HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin: https://evil.example",
    "a page from a file": "POST /predictions HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin: null",
    "another local page": "POST /predictions HTTP/1.1\nHost: localhost:PORT\nOrigin: http://localhost:3000",
    "the other name": "POST /predictions HTTP/1.1\nHost: localhost:PORT\nOrigin: http://127.0.0.1:PORT",
    "https": "POST /predictions HTTP/1.1\nHost: localhost:PORT\nOrigin: https://localhost:PORT",
    "an image of another site": "GET /health-check HTTP/1.1\nHost: 127.0.0.1:PORT\nSec-Fetch-Site: cross-site",
    "a site of this machine": "GET /openapi.json HTTP/1.1\nHost: 127.0.0.1:PORT\nSec-Fetch-Site: same-site",
    "a name of theirs": "GET /health-check HTTP/1.1\nHost: rebind.evil.example:PORT",
    "a name that begins so": "GET / HTTP/1.1\nHost: 127.0.0.1.evil.example",
    "no name": "GET / HTTP/1.0",
    "a preflight": "OPTIONS /predictions HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin: https://evil.example",
    "its own page's shutdown": "POST /shutdown HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin: http://127.0.0.1:PORT",
    "a training, which would be a prediction": "POST /trainings HTTP/1.1\nHost: 127.0.0.1:PORT",
    "one with an id": "PUT /trainings/a?b HTTP/1.1\nHost: 127.0.0.1:PORT",
    "a program's shutdown": "POST /shutdown?now HTTP/1.1\nHost: 127.0.0.1:PORT",
}


UNREADABLE = {
    "two hosts": "GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nHost: evil.example",
    "no host": "GET / HTTP/1.1",
    "a name with a space": "GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin : https://evil.example",
    "no HTTP": "hello",
    "another HTTP": "GET / HTTP/3.0\nHost: 127.0.0.1:PORT",
    "no end": "GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nX: " + "x" * 100_000,
}


@pytest.mark.parametrize("head", FOREIGN.values(), ids=FOREIGN)
def test_what_another_site_may_have_sent_is_refused_and_not_passed_on(front, upstream, head):
    answer = ask(front, head.replace("PORT", str(front)))
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert b"access-control" not in answer.lower()
    assert upstream.nobody_came()


@pytest.mark.parametrize("head", UNREADABLE.values(), ids=UNREADABLE)
def test_what_two_programs_may_read_in_two_ways_is_refused(front, upstream, head):
    with connect(front) as connection:
        connection.sendall(head.replace("PORT", str(front)).replace("\n", "\r\n").encode() + b"\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 400")
    assert upstream.nobody_came()


@pytest.mark.parametrize(
    "headers",
    [
        "Host: 127.0.0.1:PORT",
        "Host: localhost:PORT",
        "Host: localhost:8000",  # a tunnel's
        "Host: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\nSec-Fetch-Site: same-origin",
        "Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: none",
    ],
)
def test_what_programs_and_its_own_pages_send_is_passed_on_unchanged_but_for_the_connection(front, upstream, headers):
    headers = headers.replace("PORT", str(front))
    body = bytes(range(256)) * 20_000
    head = f"POST /predictions?a=%2F HTTP/1.1\r\n{headers}\r\nX-Odd:  Value\r\nContent-Length: {len(body)}\r\n"
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabc"
    with connect(front) as caller:
        sending = threading.Thread(
            target=caller.sendall, args=(head.encode() + b"Connection: keep-alive, X-Odd\r\n\r\n" + body,)
        )
        sending.start()
        with upstream.accept() as server:
            came = read_until(server, b"\r\n\r\n").decode()
            assert came == head.replace("X-Odd:  ", "X-Odd: ") + "Connection: close\r\n\r\n"
            rest = b""
            while len(rest) < len(body):
                rest += server.recv(65536)
            assert rest == body
            server.sendall(answer)
        assert read_all(caller) == answer
        sending.join()


def test_parts_come_as_they_are_made_in_both_directions(front, upstream):
    with connect(front) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        with upstream.accept() as server:
            read_until(server, b"\r\n\r\n")
            server.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            read_until(caller, b"\r\n\r\n")
            for number in range(3):
                part = b"1\r\n%d\r\n" % number
                caller.sendall(part)
                assert read_until(server, part) == part
                server.sendall(part)
                assert read_until(caller, part) == part


def test_server_sees_that_its_caller_has_gone(front, upstream):
    caller = connect(front)
    caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with upstream.accept() as server:
        read_until(server, b"\r\n\r\n")
        caller.close()
        assert server.recv(1) == b""


def test_caller_sees_that_its_server_has_gone_and_the_next_one_is_told(front, upstream):
    with connect(front) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        upstream.accept().close()
        assert read_all(caller) == b""
    upstream.listener.close()
    assert ask(front, "GET / HTTP/1.1\nHost: localhost").startswith(b"HTTP/1.1 503 ")


def test_end_leaves_no_thread_and_no_connection(upstream):
    before = threading.active_count()
    with bind("127.0.0.1", 0) as listener, guarded(listener, upstream.place) as url:
        caller = connect(int(url.rpartition(":")[2]))
        caller.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server = upstream.accept()
        read_until(server, b"\r\n\r\n")
    with caller, server:
        assert server.recv(1) == b""
    assert threading.active_count() == before
