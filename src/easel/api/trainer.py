"""The Cog server that trains: started for each training, and gone after it, so that it holds no memory between them."""

import asyncio
from typing import Any

import httpx2

from easel.api.active import ActivePrediction
from easel.api.cog_server import CogServer
from easel.api.dispatcher import Dispatcher
from easel.api.lifecycle import Lifecycle
from easel.api.own_server import OwnServer
from easel.api.tables import TRAINING
from easel.api.telemetry import describe_error

NOT_STARTED = "The server that trains could not be started; the API's log says why."


class Trainer:
    """`model` is the name of the model that `own` trains."""

    def __init__(
        self,
        model: str,
        own: OwnServer,
        lifecycle: Lifecycle,
        dispatcher: Dispatcher,
        log: Any,
        client: httpx2.AsyncClient,
    ) -> None:
        self.model = model
        self._own, self._lifecycle, self._dispatcher = own, lifecycle, dispatcher
        self._log, self._client = log, client
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._serve())

    async def close(self) -> None:
        await asyncio.to_thread(self._own.close)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        """Run one training after another, for ever."""
        while True:
            run = await self._lifecycle.queue.get({TRAINING})
            try:
                await self._train(run)
            except Exception as error:  # Nothing that one training brings may end the turn of the others.
                self._log.error("training", id=run.id, **describe_error(error))
                await self._lifecycle.end(run, "failed", error=NOT_STARTED)
            finally:
                await asyncio.to_thread(self._own.stop)

    async def _train(self, run: ActivePrediction) -> None:
        await asyncio.to_thread(self._own.restart)
        server = CogServer(self._own.url, self._client, "trainings")
        await server.check()
        if server.healthy:
            await self._dispatcher.run_on(server, run)
        else:
            await self._lifecycle.end(run, "failed", error=NOT_STARTED)
