"""An API of models that a test makes up: it answers as Replicate's does, and leaves out what has no value."""

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 2  # members of a list that come at a time
TEXT_OUTPUT = {
    "type": "array",
    "items": {"type": "string"},
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}
TEXTS_OUTPUT = {"type": "array", "items": {"type": "string"}}
FILES_OUTPUT = {"type": "array", "items": {"type": "string", "format": "uri"}}


def schema(output: dict[str, Any], required: tuple[str, ...] = (), **inputs: dict[str, Any]) -> dict[str, Any]:
    properties = {name: one | {"x-order": k} for k, (name, one) in enumerate(inputs.items())}
    parts = {"Input": {"type": "object", "properties": properties, "required": list(required)}, "Output": output}
    return {"components": {"schemas": parts}}


@dataclass
class FakeApi:
    """`states` are what a model's new predictions go through, one with each look; the last one stays."""

    url: str
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    readmes: dict[str, str] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    states: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    predictions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # newest last; each by its states
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # content type and content by path
    asked: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)  # the bodies

    def add_model(self, key: str, document: dict[str, Any], *older: dict[str, Any], **members: Any) -> None:
        owner, _, name = key.partition("/")
        found = [
            {"id": f"{k:x}{key.encode().hex()}".ljust(64, "0")[:64], "created_at": f"2026-11-{20 - k:02}T10:00:00Z"}
            | {"openapi_schema": one}
            for k, one in enumerate((document, *older))
        ]
        self.versions[key] = found
        self.models[key] = {"owner": owner, "name": name, "visibility": "public", "latest_version": found[0]} | members

    def add_prediction(self, identity: str, model: str, *states: dict[str, Any], **members: Any) -> None:
        base = {"id": identity, "model": model, "version": self.versions[model][0]["id"]}
        base |= {"created_at": "2026-11-26T10:00:00Z", "input": {}, "logs": ""}
        self.predictions[identity] = [base | members | one for one in states or ({"status": "succeeded"},)]

    def look(self, identity: str) -> dict[str, Any] | None:
        states = self.predictions.get(identity)
        return None if not states else states.pop(0) if len(states) > 1 else states[0]

    def get(self, path: str, query: dict[str, list[str]]) -> Any:
        """Return the document, None where there is none, text as bytes."""
        if path == "/v1/models":
            return self.page(path, list(self.models.values()), query)
        if path == "/v1/predictions":
            return self.page(path, [states[0] for states in reversed(self.predictions.values())], query)
        if found := re.fullmatch(r"/v1/predictions/([\w-]+)", path):
            return self.look(found[1])
        if not (found := re.fullmatch(r"/v1/models/([\w.-]+/[\w.-]+)(?:/(\w+)(?:/(\w+))?)?", path)):
            return None
        key, part, identity = found.groups()
        if key not in self.models or not part:
            return self.models.get(key)
        if part == "readme":
            return self.readmes[key].encode() if key in self.readmes else None
        if identity:
            return next((one for one in self.versions[key] if one["id"] == identity), None)
        return self.page(path, (self.examples if part == "examples" else self.versions).get(key, []), query)

    def page(self, path: str, members: list[Any], query: dict[str, list[str]]) -> dict[str, Any]:
        begin = int(query.get("cursor", ["0"])[0])
        more = f"{self.url}{path}?cursor={begin + PAGE}" if begin + PAGE < len(members) else None
        return {"next": more, "previous": None, "results": members[begin : begin + PAGE]}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body)
        key = next(key for key, all_of in self.versions.items() if body["version"] in [one["id"] for one in all_of])
        identity = f"run{len(self.created)}"
        self.add_prediction(identity, key, {"status": "starting"}, *self.states[key], input=body["input"])
        return self.look(identity)


@contextmanager
def run_fake_api(tls: ssl.SSLContext | None = None) -> Iterator[FakeApi]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            api.asked.append(self.path)
            if parts.path in api.files:
                kind, content = api.files[parts.path]
                return self.answer(200, content, kind)
            found = api.get(parts.path, parse_qs(parts.query))
            if found is None:
                return self.answer(
                    404, json.dumps({"title": "Not found", "detail": "There is no such thing."}).encode()
                )
            if isinstance(found, bytes):
                return self.answer(200, found, "text/plain; charset=utf-8")
            return self.answer(200, json.dumps(found).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/v1/predictions":
                return self.answer(201, json.dumps(api.create(json.loads(body))).encode())
            return self.answer(404, b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    api = FakeApi(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
