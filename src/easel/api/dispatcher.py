"""What goes on between the API and one Cog server: a prediction is handed over, watched, found after a restart."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2

from easel.api.active import ActivePrediction, ends_within, refusal_reason
from easel.api.cog_server import BUSIEST_S, BUSY_S, DOWN, CogServer
from easel.api.database import Database
from easel.api.lifecycle import Lifecycle
from easel.api.tables import Prediction
from easel.api.telemetry import Metrics, describe_error
from easel.errors import EaselError

LOST_S = 15.0  # Cog repeats the news of an end for 13 s (seen with coglet 0.23.1); after that it is lost.
WATCH_S = 1.0
LOST = "The server that ran this prediction ended before it did, and the result is lost. Send it again."


class Dispatcher:
    """`resolve` makes the input that a Cog server gets out of a prediction's, blocking."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        database: Database,
        metrics: Metrics,
        log: Any,
        resolve: Callable[[Prediction], dict[str, Any]],
    ) -> None:
        self._lifecycle, self._database, self._metrics, self._log, self._resolve = (
            lifecycle,
            database,
            metrics,
            log,
            resolve,
        )

    async def serve(self, server: CogServer) -> None:
        """Give `server` one prediction after another, for ever."""
        while True:
            await server.wait_ready()
            run = await self._lifecycle.queue.get(server.versions)
            self._metrics.queue.set(len(self._lifecycle.queue))
            if not server.ready:  # It went while this waited for work.
                await self._lifecycle.enqueue(run, first=True)
                continue
            await self.run_on(server, run)

    async def run_on(self, server: CogServer, run: ActivePrediction) -> None:
        """Give it to `server`, and return when it has ended or is in the queue again. Raises nothing of its own."""
        try:
            await self._run_on(server, run)
        except EaselError as error:  # of the caller's: a file of the input is not there any more
            await self._lifecycle.end(run, "failed", error=str(error))
        except Exception as error:  # Nothing that one prediction brings may end the server's turn.
            self._log.error("run", id=run.id, **describe_error(error))
            await self._lifecycle.end(run, "failed", error="The API could not run it; its log says why.")

    async def _run_on(self, server: CogServer, run: ActivePrediction) -> None:
        prediction = run.prediction
        run.server, prediction.server = server, server.url
        # First, so that after a restart it is known where to ask, and nothing is begun twice.
        await self._database.set_with_retry(Prediction, run.id, server=server.url)
        given = await asyncio.to_thread(self._resolve, prediction)
        if run.canceling or run.ending:
            await self._lifecycle.end(run, run.canceling)
            return
        try:
            status, answer = await server.start(
                run.id, given, self._lifecycle.callback_url(run.id), run.wanted_previews
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            status, answer = 503, {}
            server.state = DOWN
        except httpx2.HTTPError:
            status, answer = 202, {}  # Perhaps it has it: the watch finds out.
        if status == 202:
            server.delay = BUSY_S
            await self._watch(server, run)
            await self._free(server, run)
        elif status in (409, 503):
            await asyncio.sleep(server.delay)
            server.delay = min(2 * server.delay, BUSIEST_S)
            if not run.ending:
                prediction.server = None
                await self._database.set_with_retry(Prediction, run.id, server=None)
            await self._lifecycle.enqueue(run, first=True)
        else:
            await self._lifecycle.end(run, "failed", error=refusal_reason(answer))

    async def _watch(self, server: CogServer, run: ActivePrediction) -> None:
        """Until it ends: by the server's callback, or because the server does not have it any more."""
        run.server, run.accepted = server, True
        process, missing_since = server.started, None
        await self._lifecycle.started(run, server)
        running = self._metrics.running.labels(server.url)
        running.inc()
        try:
            while not await ends_within(run, WATCH_S):
                if run.canceling:
                    await self._lifecycle.send_cancel(run)
                if not server.is_polled:
                    await server.check()
                if not server.healthy or server.started != process:
                    await server.check()
                    if not server.healthy or not await server.has(run.id):
                        await self._end_lost(run)
                elif server.state == "READY" and await server.has(run.id) is False:
                    missing_since = missing_since or time.monotonic()
                    if time.monotonic() - missing_since > LOST_S:
                        await self._end_lost(run)
                else:
                    missing_since = None
        finally:
            running.dec()

    async def _free(self, server: CogServer, run: ActivePrediction) -> None:
        """The run has ended; if that was a cancel of which the server does not know, it is told until it does."""
        run.server, run.accepted = server, True
        while run.canceling and not run.cancel_answered and await server.has(run.id):
            await self._lifecycle.send_cancel(run)
            await asyncio.sleep(WATCH_S)

    async def find_again(self, run: ActivePrediction, server: CogServer) -> None:
        """After a restart of the API: a prediction that `server` was given before."""
        self._lifecycle.active[run.id] = run
        run.server = server
        self._lifecycle.set_timer(run)
        await server.check()
        if await server.has(run.id):
            await self._watch(server, run)
        elif not await ends_within(run, LOST_S):  # Cog tells of an end again and again for a while.
            if await server.has(run.id):
                await self._watch(server, run)
            else:  # It may have run there: a second run is never begun.
                await self._end_lost(run)
        await self._free(server, run)

    async def tell_of_cancel(self, prediction: Prediction, server: CogServer) -> None:
        """After a restart: one that has ended by a cancel which its server has not taken."""
        await self._free(server, ActivePrediction(prediction, ending=True))
        await self._database.set_with_retry(
            Prediction, prediction.id, cancel_answered=True
        )  # or it is not there any more

    async def _end_lost(self, run: ActivePrediction) -> None:
        if run.canceling:
            await self._lifecycle.end(run, "canceled")
        else:
            await self._lifecycle.end(run, "failed", error=LOST)
