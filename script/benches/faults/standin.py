"""A Cog server that behaves as each request tells it to: `python -m benches.faults.standin PORT LEDGER`.

One request at a time, as Cog: 202 or 409, news by webhook that are repeated for 13 s, cancel, and the question whether
it has a prediction. Every run that it begins is a line in LEDGER, so that a second run of one id would be seen.
"""

import json
import os
import random
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BEHAVIOURS = ("well", "fail", "hang", "deaf", "lie", "drip", "drop")
PROPERTIES = {
    "behaviour": {"type": "string", "enum": list(BEHAVIOURS), "default": "well"},
    "seconds": {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
    "file": {"type": "string", "format": "uri", "nullable": True},
    "text": {"type": "string", "default": ""},
}
SCHEMA = {
    "openapi": "3.0.2",
    "info": {"title": "Cog", "version": "0.23.1"},
    "components": {
        "schemas": {
            "Input": {"title": "Input", "type": "object", "properties": PROPERTIES},
            "Output": {"title": "Output", "type": "array", "items": {"type": "string", "format": "uri"}},
        }
    },
}
DEAF_S = 20.0  # how long a prediction goes on that obeys no cancel
RETRIES_S = (0, 0.1, 0.3, 1, 2, 4, 6)  # 13 s, as coglet
OUTPUT = ["data:text/plain;base64,b2s="]
LIES = (
    b'{"id": "%s", "status": "succeeded", "metrics": [1, 2], "output": ["data:text/plain;base64,b2s="]}',
    b'{"id": "%s", "status": "succeeded", "metrics": {"predict_time": NaN}, "output": null}',
    b'{"id": "%s", "status": "succeeded", "output": "\\ud800", "logs": "\\u0000"}',
    b'{"id": "another", "status": "succeeded", "output": ["data:text/plain;base64,b2s="]}',
    b'{"id": "%s", "status": "finished", "output": 7}',
    b"[" * 2000 + b"]" * 2000,
    b"not JSON",
)


class Standin:
    def __init__(self, ledger: str) -> None:
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.started = f"{time.time()}-{os.getpid()}"
        self.lock = threading.Lock()
        self.current: str | None = None
        self.canceled = threading.Event()

    def begin(self, identity: str) -> bool:
        with self.lock:
            if self.current is not None:
                return False
            self.current = identity
            self.canceled = threading.Event()
        os.write(self.ledger, f"{identity}\n".encode())
        return True

    def run(self, identity: str, given: dict[str, Any], webhook: str) -> None:
        behaviour, seconds = given.get("behaviour", "well"), float(given.get("seconds", 0))
        tell(webhook, {"id": identity, "status": "processing", "logs": ""}, once=True)
        if behaviour == "hang":
            self.canceled.wait(600)
        elif behaviour == "deaf":
            time.sleep(DEAF_S)
        else:
            self.canceled.wait(seconds)
        news: Any = {"id": identity, "status": "succeeded", "output": OUTPUT, "logs": "done\n", "metrics": {}}
        if self.canceled.is_set():
            news |= {"status": "canceled", "output": None}
        elif behaviour == "fail":
            news |= {"status": "failed", "output": None, "error": "InputError: it was told to fail"}
        elif behaviour == "lie":
            lie = random.choice(LIES)
            news = lie % identity.encode() if b"%s" in lie else lie
        with self.lock:
            self.current = None
        tell(webhook, news)


def tell(url: str, news: Any, once: bool = False) -> None:
    body = news if isinstance(news, bytes) else json.dumps(news).encode()
    for wait in RETRIES_S[:1] if once else RETRIES_S:
        time.sleep(wait)
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
        with suppress(OSError):
            urllib.request.urlopen(request, timeout=5).close()
            return


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    standin: Standin

    def answer(self, status: int, body: Any, drip: bool = False) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        for k in range(0, len(data), 4 if drip else len(data)):
            self.wfile.write(data[k : k + (4 if drip else len(data))])
            time.sleep(0.1 if drip else 0)

    def do_GET(self) -> None:
        if self.path == "/openapi.json":
            return self.answer(200, SCHEMA)
        state = "BUSY" if self.standin.current else "READY"
        return self.answer(200, {"status": state, "setup": {"started_at": self.standin.started}})

    def do_POST(self) -> None:
        identity = self.path.split("/")[2]
        if identity != self.standin.current:
            return self.answer(404, {})
        self.standin.canceled.set()
        return self.answer(200, {})

    def do_PUT(self) -> None:
        identity = self.path.rpartition("/")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        accepted = {"id": identity, "status": "starting"}
        if identity == self.standin.current:
            return self.answer(202, accepted)
        if not isinstance(body["input"], dict):
            return self.answer(422, {"detail": []})
        if not self.standin.begin(identity):
            return self.answer(409, {"error": "busy"})
        work = (identity, body["input"], body["webhook"])
        threading.Thread(target=self.standin.run, args=work, daemon=True).start()
        behaviour = body["input"].get("behaviour")
        if behaviour == "drop":
            self.close_connection = True
            return None
        return self.answer(202, accepted, drip=behaviour == "drip")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    Handler.standin = Standin(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    with suppress(KeyboardInterrupt):
        server.serve_forever(0.05)
