"""Speak to a Cog server: one prediction with its logs, and the files it makes."""

import base64
import http.client
import json
import mimetypes
import re
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from easel.errors import EaselError, InputError
from easel.files import write_atomically
from easel.net.urls import is_loopback, shown_error, shown_url

# Right after a reply with file outputs the server may still hold its only slot, hence the short first ones.
# 3 s in all, then a caller whose server works for another one is told so.
BUSY_DELAYS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
ANSWER_TIMEOUT_S = 10.0
FINAL_LOGS_TIMEOUT_S = 1.0

# Fixed here because `mimetypes` knows webp only as non-standard, and what it knows differs between machines.
EXTENSIONS = {"image/webp": ".webp", "image/jpeg": ".jpg", "image/png": ".png"}


class ServerError(EaselError):
    """No server answers, or it answers that it cannot do what was asked."""


def call(method: str, url: str, body: Any = None, timeout: float | None = ANSWER_TIMEOUT_S) -> tuple[int, Any]:
    """Send one request with JSON both ways; return the HTTP status and the answer.

    Raises ServerError when none comes.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    # A proxy from the environment cannot reach this machine's loopback.
    proxies = urllib.request.ProxyHandler({} if is_loopback(url) else None)
    try:
        with urllib.request.build_opener(proxies).open(request, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        try:
            return error.code, json.loads(text)
        except ValueError:
            return error.code, {"error": text.strip()}
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None)
        said = shown_error(reason if isinstance(reason, Exception) else error)
        raise ServerError(f"No answer from {shown_url(url)} ({said}). Is a Cog server running there?") from None
    except ValueError:
        raise ServerError(f"{shown_url(url)} answers, but not in JSON: this is not a Cog server.") from None


def fetch_schema(server: str) -> dict[str, Any]:
    schema: dict[str, Any]
    status, schema = call("GET", f"{server}/openapi.json")
    if status == http.client.SERVICE_UNAVAILABLE and read_state(server) == "STARTING":
        raise ServerError(f"{server} still loads its model. Try again when {server}/health-check says READY.")
    if status != 200 or "Input" not in schema.get("components", {}).get("schemas", {}):
        raise ServerError(
            f"{server} does not say which inputs it takes ({server}/openapi.json answers {status}), so they cannot be "
            "checked. Use a server that was started with script/serve or built with `cog build`."
        )
    return schema


def read_state(server: str) -> str:
    """STARTING, READY, BUSY, SETUP_FAILED, DEFUNCT or UNHEALTHY (the worker is dead)."""
    return str(call("GET", f"{server}/health-check")[1].get("status", ""))


def predict(server: str, inputs: Mapping[str, Any], show: Callable[[str], None]) -> dict[str, Any]:
    """Run one prediction to its end; return the server's answer, with `logs`. `show` gets the log's new text as it
    comes.

    An interrupt on the way cancels it: it closes the connection, and Cog cancels a synchronous prediction whose
    caller has gone. There is no second cancel by name, since that one would strike the clean-up of the first.
    Raises ServerError when the server refuses the inputs, is busy, or goes away. A failed run is an answer.
    """
    with receive_logs(show) as feed:
        body: dict[str, Any] = {"input": dict(inputs)}
        if is_loopback(server):  # Another machine could not reach us.
            body |= {"webhook": feed.url, "webhook_events_filter": ["logs", "completed"]}
        answer: dict[str, Any]
        status, answer = send(server, body)
        if status != 200:
            raise ServerError(explain_refusal(server, status, answer))
        if answer["status"] != "succeeded" and "webhook" in body:
            feed.completed.wait(FINAL_LOGS_TIMEOUT_S)  # The answer of a failed run has no logs; its webhook has.
        feed.add(answer.get("logs") or "")
        return answer | {"logs": feed.logs}


def send(server: str, body: Mapping[str, Any]) -> tuple[int, Any]:
    for delay in (*BUSY_DELAYS_S, None):
        status, answer = call("PUT", f"{server}/predictions/{uuid.uuid4().hex}", body, timeout=None)
        if status != http.client.CONFLICT or delay is None:
            break
        time.sleep(delay)
    return status, answer


def explain_refusal(server: str, status: int, answer: Mapping[str, Any]) -> str:
    detail = answer.get("detail")
    if status == http.client.UNPROCESSABLE_ENTITY and isinstance(detail, list):
        problems = [f"  {'.'.join(str(key) for key in one['loc'][2:])}: {one['msg']}" for one in detail]
        return "\n".join(["The server refuses the inputs:", *problems])
    if status == http.client.CONFLICT:
        if read_state(server) in ("UNHEALTHY", "DEFUNCT"):
            return f"The process that runs the model at {server} has died. Start that server again."
        return f"{server} works on another request. Try again later, or without --server to start your own."
    return f"{server} answered {status}: {plain_error(str(answer.get('error') or detail or answer))}"


def plain_error(text: str) -> str:
    """Coglet's error without what it puts before the exception, and without the class of one meant for the caller."""
    if text.lower() == "worker crashed":
        return "The process that runs the model died, most often for lack of memory. Its server must be started again."
    text = re.sub(
        r"^((Prediction failed|Input validation error|worker setup failed( \(slot [^)]*\))?|setup failed"
        r"|failed to load predictor): )+",
        "",
        text,
        flags=re.IGNORECASE,
    )
    return re.sub(rf"^({'|'.join(kind.__name__ for kind in kinds_of(EaselError))}): ", "", text)


def kinds_of(error: type[Exception]) -> Iterator[type[Exception]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds_of(kind)


class LogFeed:
    """The log of one prediction as its webhooks bring it: each holds the whole log so far."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.url = ""
        self.logs = ""
        self.completed = threading.Event()
        self._show = show
        self._lock = threading.Lock()

    def add(self, logs: str) -> None:
        with self._lock:  # Each webhook has its own connection, so an older one may come later.
            if len(logs) > len(self.logs):
                self._show(logs[len(self.logs) :])
                self.logs = logs


@contextmanager
def receive_logs(show: Callable[[str], None]) -> Iterator[LogFeed]:
    """Give a webhook receiver on a free loopback port: Cog shows the log of a running `list[Path]` in no other way."""
    feed = LogFeed(show)

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            prediction = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            feed.add(prediction.get("logs") or "")
            if prediction["status"] != "processing":
                feed.completed.set()
            self.send_response(http.client.OK)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the log shown is the model's."""

    def serve() -> None:
        # Else the kernel may give a signal to this thread, and the main one goes on waiting for the answer.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        server.serve_forever(poll_interval=0.01)

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        feed.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield feed
        finally:
            server.shutdown()
            thread.join()


def save_output(output: Any, folder: Path, stem: str) -> Any:
    """Write the data URLs in `output` and return it with their paths instead; any other value stays as it is.

    Named as `cog run` names them: `stem.webp`, and for a list `stem.0.webp`, `stem.1.webp`, ... A file of that
    name is replaced, as there.
    """
    if isinstance(output, list):
        return [save_output(item, folder, f"{stem}.{k}") for k, item in enumerate(output)]
    if not isinstance(output, str) or not output.startswith("data:"):
        return output
    media_type, _, data = output.removeprefix("data:").partition(";base64,")
    extension = EXTENSIONS.get(media_type) or mimetypes.guess_extension(media_type, strict=False) or ""
    path = folder / f"{stem}{extension}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with write_atomically(path, sync=False) as stream:
            stream.write(base64.b64decode(data))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Choose another folder with -o.") from None
    return str(path)
