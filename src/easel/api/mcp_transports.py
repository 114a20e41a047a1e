"""The two ways to an MCP server: standard input and output, and streamable HTTP."""

import asyncio
import contextlib
import hmac
import os
import signal
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from easel.api.mcp import CANCEL_S, Tools
from easel.api.mcp_client import ApiClient
from easel.net.authorities import trusted_authorities
from easel.net.urls import is_loopback

ANSWER_S = 30.0  # the API has to answer each request
MOST_BODY = 16_000_000  # bytes of a request: an image of 10 MB as base64; characters of a line, whose rest is refused
MOST_LINES = 4  # that are read before they are answered
END_S = CANCEL_S + 1  # after a signal; an answer that the client does not read would be waited for, without end
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def open_api(base: str, token: str) -> ApiClient:
    client = httpx2.AsyncClient(timeout=ANSWER_S, trust_env=not is_loopback(base), verify=trusted_authorities())
    return ApiClient(base, token, client)


async def serve_stdio(tools: Tools) -> int:
    """Serve until standard input ends or a signal comes, and return the exit code.

    Standard output is the protocol's alone: file 1 is standard error meanwhile.
    """
    server, code = tools.server(), 0
    with anyio.CancelScope() as scope:

        def end(signum: int) -> None:
            nonlocal code
            code = 128 + signum
            scope.cancel()
            asyncio.get_running_loop().call_later(END_S, os._exit, code)

        for signum in (signal.SIGTERM, signal.SIGINT):  # an exception of a handler's would fall on any task
            asyncio.get_running_loop().add_signal_handler(signum, end, signum)
        async with tools.api.client:
            try:
                async with stdio_server(stdin=read_lines()) as (received, sent):  # type: ignore[arg-type]
                    await server.run(received, sent, server.create_initialization_options())
            except* BrokenPipeError:  # the client left without reading the last answer
                pass
    return code


async def read_lines() -> AsyncIterator[str]:
    """Yield standard input's lines, read by a thread that a signal need not wait for, as it would for the SDK's own."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    room = threading.Semaphore(MOST_LINES)
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Not sys.stdin, whose lock a thread that waits would hold when the interpreter ends.
        stream = os.fdopen(os.dup(0), encoding="utf-8", errors="replace")
        with contextlib.suppress(RuntimeError):  # the loop has ended
            while room.acquire() and (line := stream.readline(MOST_BODY)):
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line
        room.release()


def create_app(server: Server[Any], token: str | None, loopback: bool) -> ASGIApp:
    """Return the server as an ASGI application with /mcp. On loopback it answers no web page of another site."""
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=loopback,
        allowed_hosts=[f"{host}:*" for host in LOOPBACK],
        allowed_origins=[f"http://{host}:*" for host in LOOPBACK],
    )
    app = server.streamable_http_app(max_request_body_size=MOST_BODY, transport_security=security)
    wanted = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if token and scope["type"] != "lifespan" and not hmac.compare_digest(given, wanted):
            refusal = PlainTextResponse(
                "Send the token: Authorization: Bearer TOKEN.", 401, {"WWW-Authenticate": "Bearer"}
            )
            await refusal(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded
