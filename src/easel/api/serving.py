"""The application behind its sockets, until a signal ends it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from easel.api.app import create_app
from easel.api.connections import BACKLOG, Connections, quiet_logs, raise_file_limit
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.tls import Certificate
from easel.local.console import print_result


class Callbacks(uvicorn.Server):
    """The second server in a process: the first one has the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def callbacks_alone(app: ASGIApp) -> ASGIApp:
    """Return the application for Cog servers, which finds nothing else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/cog/"):
            await app(scope, receive, send)
        else:
            await Problem(404, "Here Cog servers tell of their predictions. The API has https.").response()(
                scope, receive, send
            )

    return answer


async def serve(
    api: Api, listener: socket.socket, certificate: Certificate | None, callbacks: socket.socket | None
) -> None:
    """Print the address as soon as it answers there. `callbacks`: where Cog servers reach it, without TLS.

    Raises InputError when another `easel api` takes the database.
    """
    connections = Connections(raise_file_limit())
    quiet_logs()
    app = create_app(api)

    def configure(app: ASGIApp, chain: str | None = None) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", connections.protocol),  # uvicorn calls it to make one
            backlog=BACKLOG,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
            ssl_certfile=chain,
        )

    server = uvicorn.Server(configure(app, str(certificate.chain) if certificate else None))
    inner = Callbacks(configure(callbacks_alone(app)))
    async with api.running():
        tasks = [asyncio.create_task(server.serve(sockets=[listener]))]
        # A signal leaves this task as KeyboardInterrupt, past all that would ask for its exception: no log of that.
        tasks[0].add_done_callback(lambda task: task.cancelled() or task.exception())
        if callbacks:
            tasks.append(asyncio.create_task(inner.serve(sockets=[callbacks])))
        while not server.started and not tasks[0].done():
            await asyncio.sleep(0.01)
        print_result(api.settings.public_url)
        alone = asyncio.create_task(api.database.stay_alone())
        await asyncio.wait({tasks[0], alone}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = inner.should_exit = True
        await asyncio.gather(*tasks)
        if alone.done():
            alone.result()
        alone.cancel()
