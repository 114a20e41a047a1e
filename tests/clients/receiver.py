"""A web server on loopback that keeps the webhooks it gets."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.got: list[tuple[dict[str, str], bytes]] = []  # headers and body of each, in order
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    def until_completed(self, seconds: float = 60) -> list[dict[str, Any]]:
        """The predictions as they were sent, as soon as the last one has ended."""
        until = time.monotonic() + seconds
        while not self.got or json.loads(self.got[-1][1])["status"] not in ("succeeded", "failed", "canceled"):
            assert time.monotonic() < until, self.got
            time.sleep(0.02)
        return [json.loads(body) for _, body in self.got]


class Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
