"""A Cog server that says what a test tells it to."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCHEMA = {"components": {"schemas": {"Input": {"type": "object", "properties": {"text": {"type": "string"}}}}}}
HEALTH = {"status": "READY", "setup": {"started_at": "now"}}


@dataclass
class OddCog:
    """`health` and `schema` are bodies; `news` are told of each prediction; `accepts` is the answer to a PUT."""

    url: str
    health: bytes = json.dumps(HEALTH).encode()
    schema: bytes = json.dumps(SCHEMA).encode()
    accepts: bytes | None = None
    news: list[bytes] = field(default_factory=list)
    endless: bool = False  # the body of its health
    asked: list[str] = field(default_factory=list)
    told: list[int] = field(default_factory=list)  # what the API answered to the news
    given: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)  # each prediction as often as it was handed over
    cancels: list[str] = field(default_factory=list)
    lost_cancels: int = 0  # so many are answered by nothing
    holds: threading.Event | None = None  # a hand-over is answered when it is set
    callbacks: dict[str, str] = field(default_factory=dict)

    def tell(self, url: str) -> None:
        for body in self.news:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    self.told.append(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    self.told.append(error.code)


@contextmanager
def run_odd_cog() -> Iterator[OddCog]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            odd.asked.append(self.path)
            if self.path == "/health-check" and odd.endless:
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                try:
                    while True:
                        self.wfile.write(b" " * 65536)
                except OSError:
                    return
            self.answer(200, odd.health if self.path == "/health-check" else odd.schema)

        def do_POST(self) -> None:
            odd.cancels.append(self.path.split("/")[2])
            if odd.lost_cancels:
                odd.lost_cancels -= 1
                self.close_connection = True
                return
            self.answer(200, b"{}")

        def do_PUT(self) -> None:
            identity = self.path.rpartition("/")[2]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not isinstance(body["input"], dict):  # "do you have it?"
                return self.answer(202 if identity in odd.given else 422, json.dumps({"id": identity}).encode())
            odd.given.add(identity)
            odd.begun.append(identity)
            odd.callbacks[identity] = body["webhook"]
            if odd.holds:
                odd.holds.wait(20)
            self.answer(202, odd.accepts or json.dumps({"id": identity, "status": "starting"}).encode())
            threading.Thread(target=odd.tell, args=(body["webhook"],), daemon=True).start()
            return None

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    odd = OddCog(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield odd
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
