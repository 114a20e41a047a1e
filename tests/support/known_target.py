"""A server that takes as long as a test says: a Cog server, or Replicate's API over one, one request at a time."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INPUTS = {"prompt": {"type": "string"}, "seed": {"type": "integer"}, "token": {"type": "string", "format": "password"}}
SCHEMA = {"components": {"schemas": {"Input": {"type": "object", "properties": INPUTS}}}}
VERSION = "a" * 64


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@dataclass
class KnownTarget:
    """`seconds`: of each run, the last again and again. `oddity`: (status, headers, body) instead of any prediction."""

    url: str = ""
    seconds: list[float] = field(default_factory=lambda: [0.0])
    oddity: tuple[int, dict[str, str], bytes] | None = None
    kind: str = "cog"  # or replicate
    models: list[str] = field(default_factory=lambda: ["owner/name"])
    health: str = "READY"
    fails: set[int] = field(default_factory=set)  # which runs end as failed
    runs: list[tuple[float, float]] = field(default_factory=list)  # began, ended
    inputs: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    busy: int = 0  # so often it said that it was
    canceled: list[str] = field(default_factory=list)
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)
    slot: threading.Lock = field(default_factory=threading.Lock)

    def run(self, prediction: dict[str, Any]) -> None:
        number = len(self.runs)
        began = time.time()
        prediction |= {"status": "processing", "started_at": iso(began)}
        until = began + self.seconds[min(number, len(self.seconds) - 1)]
        while (left := until - time.time()) > 0 and prediction["id"] not in self.canceled:
            time.sleep(min(left, 0.01))
        ended = time.time()
        self.runs.append((began, ended))
        stopped = prediction["id"] in self.canceled
        status = "canceled" if stopped else "failed" if number in self.fails else "succeeded"
        prediction["metrics"] = {"predict_time": ended - began}
        prediction |= {"output": "fine", "error": "it was told to" if status == "failed" else None}
        prediction |= {"completed_at": iso(ended), "status": status}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: KnownTarget

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with suppress(OSError):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def do_GET(self) -> None:
        target = self.target
        target.paths.append(f"GET {self.path}")
        target.tokens.add(self.headers["Authorization"])
        if self.path == "/health-check" and target.kind == "cog":
            return self.answer(200, {"status": target.health, "setup": {}})
        if self.path == "/openapi.json" and target.kind == "cog":
            return self.answer(200, SCHEMA)
        if target.kind == "cog":
            return self.answer(404, {"detail": "not found"})
        version = {"id": VERSION, "openapi_schema": SCHEMA}
        example = {"metrics": {"predict_time": 2.0}}
        parts = self.path.removeprefix("/v1/").split("/")
        if self.path == "/v1/models":
            names = [dict(zip(("owner", "name"), one.split("/"), strict=True)) for one in target.models]
            return self.answer(200, {"results": names})
        if parts[0] == "models" and "/".join(parts[1:3]) in target.models:
            model = {"latest_version": version, "default_example": example}
            return self.answer(200, version if len(parts) == 5 else model)
        if parts[0] == "deployments":
            return self.answer(200, {"current_release": {"model": target.models[0], "version": VERSION}})
        if parts[0] == "predictions" and parts[1] in target.predictions:
            return self.answer(200, target.predictions[parts[1]])
        return self.answer(404, {"detail": "not found"})

    def do_POST(self) -> None:
        target = self.target
        target.paths.append(f"POST {self.path}")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path.endswith("/cancel"):
            target.canceled.append(self.path.split("/")[-2])
            return self.answer(200, {})
        if target.oddity:
            return self.answer(target.oddity[0], target.oddity[2], target.oddity[1])
        target.inputs.append(body["input"])
        identity = f"p{len(target.inputs)}"
        prediction = {"id": identity, "status": "starting", "created_at": iso(time.time())}
        target.predictions[identity] = prediction
        threading.Thread(target=self.in_turn, args=(prediction,), daemon=True).start()
        return self.answer(201, prediction)

    def in_turn(self, prediction: dict[str, Any]) -> None:
        with self.target.slot:
            self.target.run(prediction)

    def do_PUT(self) -> None:
        target = self.target
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if target.oddity:
            return self.answer(target.oddity[0], target.oddity[2], target.oddity[1])
        if not target.slot.acquire(blocking=False):
            target.busy += 1
            return self.answer(409, {"detail": "busy"})
        try:
            target.inputs.append(body["input"])
            prediction = {"id": self.path.rpartition("/")[2]}
            target.run(prediction)
        finally:
            target.slot.release()
        return self.answer(200, prediction)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def known_target(**options: Any) -> Iterator[KnownTarget]:
    target = KnownTarget(**options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"target": target}))
    server.daemon_threads = True
    target.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield target
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
