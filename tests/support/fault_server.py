"""A web server on loopback that misbehaves on demand, and remembers what it was asked."""

import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """One answer to a GET. `token` is the Bearer token without which it is 401 (or `refused`)."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None  # a Content-Length that may lie; -1: none at all, the body ends with the connection
    cut: int | None = None  # bytes of the body after which the connection ends
    stall: int | None = None  # bytes of the body after which nothing follows; -1: not even headers
    drip_s: float = 0.0  # wait before each byte of the body
    etag: bool = False  # send an ETag, and 304 to whoever has it
    token: str | None = None
    refused: int = 401
    keep: bool = False  # the connection, for the next request
    hold: threading.Event | None = field(default=None, repr=False)  # wait for this before the answer


@dataclass(frozen=True)
class Seen:
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> tuple[int, int] | None:
        """First and last byte that are asked for."""
        match = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", self.headers.get("range", ""))
        return (int(match[1]), int(match[2])) if match else None


def part_of(answer: Answer, seen: Seen) -> Answer:
    """What a server that knows ranges answers (RFC 9110, 14): the part that is asked for, or all after a change."""
    condition = seen.headers.get("if-range")
    if seen.range is None or condition not in (None, answer.headers.get("ETag")):
        return answer
    first, last = seen.range[0], min(seen.range[1], len(answer.body) - 1)
    if first > last:
        return Answer(416, headers={"Content-Range": f"bytes */{len(answer.body)}"})
    span = {"Content-Range": f"bytes {first}-{last}/{len(answer.body)}"}
    return replace(answer, status=206, body=answer.body[first : last + 1], headers={**answer.headers, **span})


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": location})


class FaultServer:
    """`routes` maps a path (with its query) to an Answer, to a list of them whose last one stays, or to a function that
    makes one of what was asked, in the thread of that connection.

    `most_at_once`, if it is set, is how many requests are answered at the same time; further ones get status 503.
    `peak` is how many there were. Use it in `with`; with `tls` (a server's SSLContext) it speaks https.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Answer | list[Answer] | Callable[[Seen], Answer]] = {}
        self.seen: list[Seen] = []
        self.most_at_once: int | None = None
        self.peak = 0
        self._at_once = 0
        self.stalled = threading.Event()
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._scheme = "https" if tls else "http"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                with outer._counted() as is_one_too_many:
                    outer._serve(self, is_one_too_many)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that goes away, or does not trust the certificate, is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:  # The handshake then happens in the handler's thread, and none can block the others.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def count(self, path: str) -> int:
        return sum(one.path == path for one in self.seen)

    def _take(self, seen: Seen) -> Answer:
        with self._lock:
            answers = self.routes.get(seen.path, Answer(404))
            if isinstance(answers, Answer):
                return answers
            if callable(answers):
                return answers(seen)
            return answers.pop(0) if len(answers) > 1 else answers[0]

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        with self._lock:
            is_one_too_many = self._at_once == self.most_at_once
            self._at_once += not is_one_too_many
            self.peak = max(self.peak, self._at_once)
        try:
            if self.most_at_once:
                time.sleep(0.02)  # so that there are several at the same time
            yield is_one_too_many
        finally:
            with self._lock:
                self._at_once -= not is_one_too_many

    def _serve(self, handler: BaseHTTPRequestHandler, is_one_too_many: bool) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        seen = Seen(handler.path, headers)
        self.seen.append(seen)
        answer = Answer(503) if is_one_too_many else self._take(seen)
        if answer.hold is not None:
            answer.hold.wait(30)
        etag = '"' + hashlib.md5(answer.body).hexdigest() + '"'
        status, body = answer.status, answer.body
        if answer.token is not None and headers.get("authorization") != f"Bearer {answer.token}":
            status, body = answer.refused, b"refused"
        elif answer.etag and headers.get("if-none-match") == etag:
            status, body = 304, b""
        if answer.stall == -1:
            return self._stall(handler)
        handler.send_response_only(status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.etag and status in (200, 304):
            handler.send_header("ETag", etag)
        if status != 304 and answer.length != -1:
            handler.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
        if not answer.keep:
            handler.send_header("Connection", "close")
        handler.close_connection = not answer.keep
        handler.end_headers()
        if answer.cut is not None:
            handler.close_connection = True
        end = min(x for x in (answer.cut, answer.stall, len(body)) if x is not None)
        if answer.drip_s:
            for k in range(end):
                if self._released.wait(answer.drip_s):
                    return None
                handler.wfile.write(body[k : k + 1])
        else:
            handler.wfile.write(body[:end])
        if answer.stall is not None:
            self._stall(handler)
        return None

    def _stall(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.flush()
        self.stalled.set()
        self._released.wait(30)


def wait_until(condition, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)
