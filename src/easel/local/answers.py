"""A Cog server's answers on their way through the guard: the error of a failed prediction is the sentence alone.

Cog writes "Prediction failed: Prediction failed: InputError: ..." where Easel said "...". And after an answer it
holds its only slot for some milliseconds, in which it would refuse the next request with 409.
"""

import asyncio
import json
import time

import h11

from easel.local.client import plain_error

MAX_FAILED = 1_000_000  # bytes of an answer that is looked at; one of a failed prediction has no outputs and no logs
SLOT_S = 0.1  # after an answer; Cog was seen to take up to 11 ms
ASK_S = 0.005
PART = 256 * 1024


def is_prediction(request: h11.Request) -> bool:
    parts = request.target.partition(b"?")[0].strip(b"/").split(b"/")
    return request.method in (b"POST", b"PUT") and parts[0] == b"predictions" and parts[-1] != b"cancel"


async def pass_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request) -> None:
    """Pass one answer from Cog to the caller, the error of a failed prediction without the name of its class."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        head = error.partial
    size = failed_size(request, head) if is_prediction(request) else 0
    body = await reader.readexactly(size)
    plain = in_plain_words(body)
    changed = head.replace(b"ength: %d\r\n" % size, b"ength: %d\r\n" % len(plain), 1)
    writer.write(changed + plain if changed != head else head + body)
    await copy(reader, writer)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PART):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def failed_size(request: h11.Request, head: bytes) -> int:
    """Return the length of an answer in JSON that is small enough to be one of a failed prediction, otherwise 0."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=request.method, target=request.target, headers=[(b"Host", b"cog")]))
    parser.receive_data(head)
    try:
        answer = parser.next_event()
    except h11.RemoteProtocolError:
        return 0
    headers = dict(answer.headers) if isinstance(answer, h11.Response) else {}
    length = headers.get(b"content-length", b"")
    is_json = headers.get(b"content-type", b"").startswith(b"application/json")
    return int(length) if is_json and length.isdigit() and int(length) <= MAX_FAILED else 0


def in_plain_words(body: bytes) -> bytes:
    try:
        answer = json.loads(body)
        if answer["status"] == "failed" and isinstance(answer["error"], str):
            return json.dumps(answer | {"error": plain_error(answer["error"])}, ensure_ascii=False).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        pass  # whatever else it is, it goes on as it came
    return body


async def wait_for_slot(upstream: tuple[str, int], until: float) -> None:
    """Return when the server at `upstream` takes a request, at `until` (on time.monotonic) at the latest."""
    request = b"GET /health-check HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % upstream[0].encode()
    while (left := until - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                reader, writer = await asyncio.open_connection(*upstream)
                try:
                    writer.write(request)
                    if b'"BUSY"' not in await reader.read():
                        return
                finally:
                    writer.close()
                await asyncio.sleep(ASK_S)
        except (OSError, TimeoutError):
            return  # the request itself will show what is wrong
