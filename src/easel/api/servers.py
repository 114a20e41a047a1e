"""The Cog servers behind the API: asked how they are, given work, and known by the versions they run."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import httpx2

from easel.api.cog_server import CogServer
from easel.api.database import Database
from easel.api.dispatcher import Dispatcher
from easel.api.lifecycle import Lifecycle
from easel.api.own_server import OwnServer
from easel.api.registry import EASEL_COG_VERSION, Registry, version_id
from easel.api.tables import FINAL, Prediction, ServerRow, Version
from easel.api.telemetry import Metrics, describe_error


class Servers:
    def __init__(
        self,
        database: Database,
        registry: Registry,
        lifecycle: Lifecycle,
        dispatcher: Dispatcher,
        metrics: Metrics,
        log: Any,
        client: httpx2.AsyncClient,
        load_readme_and_examples: Callable[[str, str, dict[str, Any]], Awaitable[None]],
        own: Sequence[OwnServer],
    ) -> None:
        """`introduce` is called with a model, and the id and schema of the version that its server runs."""
        self._own = {one.url: one for one in own}
        self._database, self._registry, self._load_readme_and_examples = database, registry, load_readme_and_examples
        self._lifecycle, self._dispatcher = lifecycle, dispatcher
        self._metrics, self._log, self._client = metrics, log, client
        self._servers: dict[str, CogServer] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._at: dict[str, tuple[asyncio.Task[Any], ...]] = {}  # what goes on at each server

    async def open(self, declared: tuple[tuple[str, str], ...]) -> None:
        """Begin with what the command line declares and what was pushed before, and take up what was accepted."""
        await self._database.remove(
            ServerRow, ServerRow.pushed.is_(False), ServerRow.url.not_in([url for _, url in declared])
        )
        for row in await self._database.find(ServerRow):
            self._get(row.url).versions.add(row.version)
        for model, url in declared:
            self._get(url).models.add(model)
        unfinished = await self._database.find(
            Prediction, Prediction.status.not_in(FINAL), order=(Prediction.created_at, Prediction.id)
        )
        for prediction in unfinished:
            run = await self._lifecycle.restored(prediction)
            if prediction.server:
                server = self._servers.get(prediction.server) or CogServer(prediction.server, self._client)
                self._do(self._dispatcher.find_again(run, server))
            else:
                await self._lifecycle.enqueue(run)
        untold = await self._database.find(
            Prediction,
            Prediction.cancel_requested.is_(True),
            Prediction.cancel_answered.is_(False),
            Prediction.status.in_(FINAL),
            Prediction.server.is_not(None),
        )
        for prediction in untold:
            if known := self._servers.get(prediction.server or ""):
                self._do(self._dispatcher.tell_of_cancel(prediction, known))

    async def close(self) -> None:
        for own in self._own.values():
            await asyncio.to_thread(own.close)  # also what waits for one that is starting
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def states(self) -> dict[str, str]:
        return {url: "STUCK" if server.is_stuck else server.state for url, server in self._servers.items()}

    async def push(self, url: str, version: Version) -> None:
        """`url` runs `version` from now on."""
        await self._registry.connect(url, version, pushed=True)
        await self._refresh(self._get(url))
        await self._move_to(version)

    async def forget(self, version: Version) -> None:
        """No server runs `version` any more; those that run nothing else are not asked how they are any more."""
        await self._database.remove(ServerRow, ServerRow.version == version.id)
        for server in list(self._servers.values()):
            if version.id in server.versions:
                await self._refresh(server)
        await self._drop_idle()

    async def _drop_idle(self) -> None:
        for url, server in list(self._servers.items()):
            busy = any(run.server is server for run in self._lifecycle.active.values())
            if not (server.versions or server.models or busy):
                del self._servers[url]
                for task in self._at.pop(url):
                    task.cancel()
                self._metrics.forget(url)

    def _get(self, url: str) -> CogServer:
        server = self._servers.get(url)
        if not server:
            server = self._servers[url] = CogServer(url, self._client)
            server.is_polled = True
            self._at[url] = self._do(self._look_after(server)), self._do(self._dispatcher.serve(server))
        return server

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look_after(self, server: CogServer) -> None:
        while True:
            before = server.state, server.healthy
            try:
                await server.check()
                if server.healthy and server.started != server.known_process:  # a stuck one is known already
                    await self._learn(server)
                await self._restart_own(server)
            except Exception as error:  # a database that is locked, say: the next look mends it
                self._log.error("server", server=server.url, **describe_error(error))
            if server.state != before[0] and not (server.healthy and before[1]):  # READY and BUSY alternate
                self._log.info("server", server=server.url, state=server.state)
            self._metrics.server_up.labels(server.url).set(server.healthy and not server.is_stuck)
            self._metrics.server_stuck.labels(server.url).set(server.is_stuck)
            await server.pause()

    async def _restart_own(self, server: CogServer) -> None:
        """Start one of this API's own servers again that is stuck or has ended; the owner of another decides that."""
        own = self._own.get(server.url)
        if own and (server.is_stuck or own.has_ended):
            self._log.warning("restart", server=server.url)
            await asyncio.to_thread(own.restart)

    async def _learn(self, server: CogServer) -> None:
        """A process that is new here: which version is it? Asked again and again until it is known."""
        process = server.started
        if server.models:
            schema = await server.schema()
            if schema is None:
                return
            for model in sorted(server.models):
                await self._load_readme_and_examples(
                    model, version_id(model, schema), schema
                )  # first: who sees the version sees all of it
                version = await self._registry.add_version(model, schema, EASEL_COG_VERSION)
                await self._registry.connect(server.url, version, pushed=False)
                await self._refresh(server)
                await self._move_to(version)
        server.known_process = process
        self._metrics.cold_starts.labels(server.url).inc()
        await self._lifecycle.queue.wake()

    async def _move_to(self, version: Version) -> None:
        """What waits for a version of that model which no server runs any more."""
        served = {one for server in self._servers.values() for one in server.versions}
        stale = {one.id for one in await self._database.find(Version, Version.model == version.model)} - served
        for run in self._lifecycle.queue.all():
            if run.version in stale:
                await self._lifecycle.move(run, version)

    async def _refresh(self, server: CogServer) -> None:
        rows = await self._database.find(ServerRow, ServerRow.url == server.url)
        server.versions.clear()
        server.versions |= {row.version for row in rows}
        await self._lifecycle.queue.wake()
