"""A stand-in for the Hugging Face Hub on loopback, and for the store of its bytes, which has another origin.

It answers as the real ones do to GET and HEAD of /owner/name/resolve/REVISION/filename: a large file is a redirect to a
signed address, whose headers say its size and SHA-256; a small one comes from the Hub itself after a relative redirect.
"""

import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
CACHED = "/api/resolve-cache/models"


@dataclass(frozen=True)
class Asked:
    server: str  # hub or bytes
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Repo:
    """`files` are small, `large` ones lie elsewhere. `token`: who has it may read."""

    files: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False
    commit: str = COMMIT


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.server.name == "hub" and not RESOLVE.fullmatch(self.path.removeprefix(CACHED)):
            return self.reply(404, {})  # what huggingface_hub also asks now and then, for its own purposes
        self.server.hub.seen.append(Asked(self.server.name, self.command, self.path, headers))
        return self.server.answer(self)

    def reply(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def send_file(self, body: bytes, etag: str, headers: Mapping[str, str]) -> None:
        """With ranges, as RFC 9110 has them."""
        headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", **headers}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked or self.headers.get("If-Range", f'"{etag}"') != f'"{etag}"':
            return self.reply(200, headers, body)
        first, last = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
        if first > last:
            return self.reply(416, {"Content-Range": f"bytes */{len(body)}"})
        part = {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
        return self.reply(206, {**headers, **part}, body[first : last + 1])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: "HubServer", name: str, answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.name, self.answer = hub, name, answer
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests want."""


class HubServer:
    """`repos` by owner/name. `answers`: headers to add or replace in the Hub's answers. `hold`: bytes wait for it."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.answers: dict[str, str] = {}
        self.failures: list[int] = []  # statuses of the next answers of the Hub
        self.seen: list[Asked] = []
        self.hold: threading.Event | None = None
        self._hub = Server(self, "hub", self.answer_as_hub)
        self._bytes = Server(self, "bytes", self.answer_with_bytes)

    def __enter__(self) -> "HubServer":
        for server in (self._hub, self._bytes):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._hub, self._bytes):
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return self._hub.url

    @property
    def files_url(self) -> str:
        """Where the bytes of a file of any repository are, for an https-like source: /owner/name/filename."""
        return self._bytes.url

    def sources(self, repo: str) -> dict[str, str]:
        return {
            name: f"hf://{repo}@{self.repos[repo].commit}/{name}"
            for name in (*self.repos[repo].files, *self.repos[repo].large)
        }

    def asked(self, server: str, method: str) -> list[Asked]:
        return [one for one in self.seen if (one.server, one.method) == (server, method)]

    def answer_as_hub(self, handler: Handler) -> None:
        if self.failures:
            return handler.reply(self.failures.pop(0), {})
        path = handler.path.removeprefix(CACHED)
        repo_id, revision, name = RESOLVE.fullmatch(path).groups()
        repo = self.repos.get(repo_id)
        refused = self.refusal(handler, repo, revision, name)
        if refused:
            status, code = refused
            return handler.reply(status, {"X-Error-Code": code, "X-Error-Message": f"stand-in: {code}"})
        headers = {"X-Repo-Commit": repo.commit, **self.answers}
        if name in repo.large:
            digest = hashlib.sha256(repo.large[name]).hexdigest()
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(repo.large[name])), "ETag": '"other"'}
            location = f"{self._bytes.url}/{repo_id}/{name}?X-Signature=secret"
            return handler.reply(302, {**linked, "Location": location, **headers})
        if path == handler.path:
            return handler.reply(307, {"Location": f"{CACHED}{path}", **headers})
        body = repo.files[name]
        git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        return handler.send_file(body, git, headers)

    def refusal(self, handler: Handler, repo: Repo | None, revision: str, name: str) -> tuple[int, str] | None:
        allowed = repo and repo.token in (None, handler.headers.get("Authorization", "").removeprefix("Bearer "))
        if repo and repo.gated and not allowed:
            return 403 if "Authorization" in handler.headers else 401, "GatedRepo"
        if not allowed:
            return 404 if "Authorization" in handler.headers else 401, "RepoNotFound"
        if revision not in (repo.commit, "main") and "X-Repo-Commit" not in self.answers:
            return 404, "RevisionNotFound"
        return None if name in repo.files or name in repo.large else (404, "EntryNotFound")

    def answer_with_bytes(self, handler: Handler) -> None:
        if self.hold:
            self.hold.wait(20)
        owner, name, filename = handler.path.partition("?")[0].removeprefix("/").split("/", 2)
        repo = self.repos[f"{owner}/{name}"]
        body = {**repo.files, **repo.large}[filename]
        handler.send_file(body, hashlib.sha256(body).hexdigest()[:16], {})
