"""What stands between the web sites that this machine's browser shows and a Cog server for people on loopback.

A page of any site can send a POST to any port of this machine, and by a name of its own that leads here (DNS rebinding)
read the answers as well. Cog's server asks nobody: `POST /shutdown` ends it. So it listens where no page finds it, and
here, at the port that people know, only what no foreign page has sent is passed on, byte by byte in both directions
(but for the error of a failed prediction, see `answers.py`).
"""

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator

import h11

from easel.local.answers import SLOT_S, copy, is_prediction, pass_back, wait_for_slot

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
MAX_HEAD = 64 * 1024  # bytes of a request before its body
HEAD_S = 30.0  # for all of them
OF_A_CONNECTION = (b"connection", b"keep-alive", b"proxy-connection", b"upgrade")
FOREIGN = "This server takes requests of programs, and of pages of its own; not of other web sites."


@contextlib.contextmanager
def guarded(listener: socket.socket, upstream: tuple[str, int]) -> Iterator[str]:
    """Pass on what comes to `listener`, in a thread, for the length of the context; its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=run_loop, args=(loop,), name="easel-guard", daemon=True)
    thread.start()
    guard = Guard(upstream)
    try:
        asyncio.run_coroutine_threadsafe(guard.open(listener), loop).result()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(guard.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run_loop(loop: asyncio.AbstractEventLoop) -> None:
    # Else the kernel may give a signal to this thread, and the main one goes on waiting.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    loop.run_forever()


class Guard:
    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._answered = -SLOT_S  # when the last prediction was, on time.monotonic
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._answer, sock=listener, limit=MAX_HEAD)

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task  # a coroutine that runs is one
        self._tasks.add(task)
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()  # as the end that has gone would have done
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_S):
                request = read_head(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, TimeoutError):
            return
        except (asyncio.LimitOverrunError, h11.RemoteProtocolError):
            await refuse(writer, "400 Bad Request", "This is not a request of HTTP/1.1.")
            return
        if reason := refusal_reason(request):
            await refuse(writer, "403 Forbidden", reason)
            return
        if is_prediction(request):
            await wait_for_slot(self._upstream, self._answered + SLOT_S)
        try:
            back, forth = await asyncio.open_connection(*self._upstream)
        except OSError:
            await refuse(writer, "503 Service Unavailable", "The model's server does not answer.")
            return
        try:
            forth.write(one_request(request))
            sending = asyncio.create_task(send_on(reader, forth))
            try:
                await pass_back(back, writer, request)
                if is_prediction(request):
                    self._answered = time.monotonic()
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            forth.close()


def read_head(head: bytes) -> h11.Request:
    """Return the request. Raises h11.RemoteProtocolError for anything that two programs could read in two ways."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    parser.receive_data(head)
    request = parser.next_event()
    if not isinstance(request, h11.Request) or request.http_version not in (b"1.0", b"1.1"):
        raise h11.RemoteProtocolError("no such request")
    return request


def refusal_reason(request: h11.Request) -> str | None:
    """Return why a request is not passed on, or None.

    Browsers name the origin of every POST, and newer ones of all else.
    """
    headers = dict(request.headers)
    host = headers.get(b"host", b"").decode("ascii", "replace")
    if host.partition(":")[0].lower() not in NAMES:
        return f"This server answers as {' or '.join(NAMES)} only, not as {host[:100]!r}."
    if headers.get(b"origin", b"http://" + host.encode()) != b"http://" + host.encode():
        return FOREIGN
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return FOREIGN
    path = request.target.partition(b"?")[0].strip(b"/")
    if path.endswith(b"shutdown"):
        return "Ctrl-C, where it was started, ends this server."
    if b"trainings" in path.split(b"/"):  # Cog's server would make a prediction of it
        return "This server trains nothing: `easel train` does, and POST .../trainings of `easel api`."
    return None


def one_request(request: h11.Request) -> bytes:
    """Return the request's head as it came, but for one thing: the connection ends with its answer, so all others
    are seen.
    """
    kept = [(name, value) for name, value in request.headers.raw_items() if name.lower() not in OF_A_CONNECTION]
    first = b" ".join((request.method, request.target, b"HTTP/" + request.http_version))
    lines = [first, *(name + b": " + value for name, value in kept), b"Connection: close", b"", b""]
    return b"\r\n".join(lines)


async def send_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a caller sends, to Cog; when the caller goes, Cog is to see that, and cancels what it was to get."""
    try:
        await copy(reader, writer)
    except OSError:
        writer.transport.abort()


async def refuse(writer: asyncio.StreamWriter, status: str, reason: str) -> None:
    body = json.dumps({"error": reason})
    head = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
    writer.write("\r\n".join((*head, "", body)).encode())
    await writer.drain()
