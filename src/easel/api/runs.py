"""Accepted predictions: queued, given to a server, watched, ended exactly once."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

import httpx2

from easel.api.cogs import BUSIEST_S, BUSY_S, DOWN, CogServer
from easel.api.deliveries import Deliveries
from easel.api.inputs import check_input
from easel.api.outputs import Outputs
from easel.api.problems import Problem
from easel.api.queue import FairQueue
from easel.api.run import Run, ends_within, refusal, text
from easel.api.store import Store
from easel.api.tables import FINAL, Prediction, Version
from easel.api.watch import Metrics, now, without_values
from easel.client import plain_error

LOST_S = 15.0  # Cog repeats the news of an end for 13 s (seen with coglet 0.23.1); after that it is lost.
WATCH_S = 1.0
CANCEL_S = 5.0  # how long a cancel waits for the server: at most one slow denoising step


class Runs:
    """`resolve` makes the input that a Cog server gets out of a prediction's, blocking. `secret` proves callbacks."""

    def __init__(
        self,
        store: Store,
        outputs: Outputs,
        deliveries: Deliveries,
        metrics: Metrics,
        log: Any,
        resolve: Callable[[Prediction], dict[str, Any]],
        *,
        callback_url: str,
        secret: bytes,
        max_queue: int,
    ) -> None:
        self.queue = FairQueue()
        self.active: dict[str, Run] = {}
        self._store, self._outputs, self._deliveries = store, outputs, deliveries
        self._metrics, self._log, self._resolve = metrics, log, resolve
        self._callback_url, self._secret, self._max_queue = callback_url, secret, max_queue
        self._expiring: set[asyncio.Task] = set()

    async def submit(self, prediction: Prediction) -> Run:
        """Accept: on disk first, then in the queue. Raises Problem (429) when the queue is full, StoreError."""
        if len(self.queue) >= self._max_queue:
            sentence = f"The queue is full: {self._max_queue} predictions wait. Try again later."
            raise Problem(429, sentence, retry_after=5)
        await self._store.save(prediction)
        self._log.info("accepted", id=prediction.id, account=prediction.account, model=prediction.model)
        run = Run(prediction)
        await self.enqueue(run)
        return run

    async def enqueue(self, run: Run, first: bool = False) -> None:
        self.active[run.id] = run
        run.server, run.accepted = None, False
        self._set_timer(run)
        if run.canceling:
            await self.end(run, run.canceling)
        else:
            await self.queue.put(run, first)
        self._metrics.queue.set(len(self.queue))

    def _set_timer(self, run: Run) -> None:
        if run.prediction.deadline and not run.timer:
            delay = max(0.0, run.prediction.deadline - now())
            run.timer = asyncio.get_running_loop().call_later(delay, self._expire, run)

    async def move(self, run: Run, version: Version) -> None:
        """A waiting one, whose version no server runs any more, becomes one of `version`; or ends in words."""
        if not self.queue.discard(run):
            return
        run.prediction.version = version.id
        try:
            check_input(run.prediction.given or run.prediction.input, version.openapi_schema)
        except Problem as problem:
            why = "No server runs the version any more that this was sent to, and the newest refuses it:"
            await self.end(run, "failed", error=f"{why} {problem.detail.strip()}")
        else:
            await self.enqueue(run)

    def _expire(self, run: Run) -> None:
        task = asyncio.create_task(self.cancel(run, "aborted"))
        self._expiring.add(task)
        task.add_done_callback(self._expiring.discard)

    async def serve(self, server: CogServer) -> None:
        """Give `server` one prediction after another, for ever."""
        while True:
            await server.wait_ready()
            run = await self.queue.get(server.versions)
            self._metrics.queue.set(len(self.queue))
            if not server.ready:  # It went while this waited for work.
                await self.enqueue(run, first=True)
                continue
            try:
                await self._run_on(server, run)
            except Exception as error:  # Nothing that one prediction brings may end the server's turn.
                self._log.error("run", id=run.id, **without_values(error))
                await self.end(run, "failed", error="The API could not run it; its log says why.")

    async def _run_on(self, server: CogServer, run: Run) -> None:
        prediction = run.prediction
        run.server, prediction.server = server, server.url
        await self._store.save_surely(prediction)  # first, so that after a restart it is known where to ask
        given = await asyncio.to_thread(self._resolve, prediction)
        if run.canceling:
            await self.end(run, run.canceling)
            return
        try:
            status, answer = await server.start(run.id, given, self.callback_url(run.id))
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            status, answer = 503, {}
            server.state = DOWN
        except httpx2.HTTPError:
            status, answer = 202, {}  # Perhaps it has it: the watch finds out.
        if status == 202:
            server.delay = BUSY_S
            await self.watch(server, run)
        elif status in (409, 503):
            await asyncio.sleep(server.delay)
            server.delay = min(2 * server.delay, BUSIEST_S)
            prediction.server = None
            await self._store.save_surely(prediction)
            await self.enqueue(run, first=True)
        else:
            await self.end(run, "failed", error=refusal(answer))

    async def watch(self, server: CogServer, run: Run) -> None:
        """Until it ends: by the server's callback, or because the server does not have it any more."""
        run.server, run.accepted = server, True
        process, missing_since = server.started, None
        await self._started(run, server)
        if run.canceling and not run.prediction.cancel_requested:
            await self._send_cancel(run)
        running = self._metrics.running.labels(server.url)
        running.inc()
        try:
            while not await ends_within(run, WATCH_S):
                if not server.tended:
                    await server.check()
                if not server.healthy or server.started != process:
                    await server.check()
                    if not server.healthy or not await server.has(run.id):
                        await self.end_lost(run)
                elif server.state == "READY" and await server.has(run.id) is False:
                    missing_since = missing_since or now()
                    if now() - missing_since > LOST_S:
                        await self.end_lost(run)
                else:
                    missing_since = None
        finally:
            running.dec()

    async def _started(self, run: Run, server: CogServer) -> None:
        prediction = run.prediction
        if run.ending or prediction.status != "starting":
            return
        prediction.status, prediction.started_at = "processing", now()
        self._metrics.queue_s.labels(prediction.model).observe(prediction.started_at - prediction.created_at)
        self._log.info("started", id=run.id, server=server.url)
        self._deliveries.notify(prediction, "start")
        await self._store.save_surely(prediction)

    async def end_lost(self, run: Run) -> None:
        if run.canceling:
            await self.end(run, "canceled")
        else:
            why = "The server that ran this prediction ended before it did, and the result is lost. Send it again."
            await self.end(run, "failed", error=why)

    def expects(self, prediction_id: str, proof: str) -> bool:
        """Whether there may be news of it. Raises Problem (404) unless they come from a server that was given it."""
        if not hmac.compare_digest(proof.encode(), self.proof(prediction_id).encode()):
            raise Problem(404, "There is no such prediction.")
        return prediction_id in self.active

    async def news(self, prediction_id: str, news: dict[str, Any]) -> None:
        """A Cog server's webhook. Of an ended prediction, or older than what is known: nothing happens."""
        run = self.active.get(prediction_id)
        if not run or run.ending:
            return
        prediction = run.prediction
        if run.server:
            await self._started(run, run.server)
        logs = run.preface + text(news.get("logs"))
        if len(logs) > len(prediction.logs):
            prediction.logs = logs
            self._deliveries.notify(prediction, "logs")
        if news.get("status") in FINAL:
            await self.end(run, news["status"], news.get("output"), news.get("error"), news.get("metrics"))

    async def end(
        self, run: Run, status: str, output: Any = None, error: str | None = None, metrics: dict[str, Any] | None = None
    ) -> None:
        """Once: a second end is none. When this returns it is on disk, and all who wait are told."""
        if run.ending:
            return
        run.ending = True
        self.queue.discard(run)
        if run.timer:
            run.timer.cancel()
        prediction = run.prediction
        kept = None
        try:
            kept = await asyncio.to_thread(self._outputs.save, run.id, output)
        except Exception as problem:
            self._log.error("output", id=run.id, **without_values(problem))
            status, error = "failed", "The output could not be kept here: is the disk full? The API's log says more."
        prediction.output = kept
        prediction.status, prediction.error, prediction.given = (
            status,
            plain_error(text(error)) if error else None,
            None,
        )
        prediction.completed_at = now()
        measured = metrics or {}
        started = prediction.started_at
        if "predict_time" not in measured:
            measured["predict_time"] = prediction.completed_at - started if started else 0.0
        prediction.metrics = {**measured, "total_time": prediction.completed_at - prediction.created_at}
        events = prediction.webhook_events_filter
        prediction.webhook_pending = bool(prediction.webhook and (not events or "completed" in events))
        await self._store.save_surely(prediction)
        del self.active[run.id]
        self._metrics.ended.labels(prediction.model, status).inc()
        if started:
            self._metrics.predict_s.labels(prediction.model).observe(prediction.completed_at - started)
        self._log.info("ended", id=run.id, status=status, error=prediction.error)
        run.ended.set()
        if prediction.output is not None:
            self._deliveries.notify(prediction, "output")
        self._deliveries.notify(prediction, "completed")

    async def cancel(self, run: Run, status: str = "canceled") -> None:
        """End it with `status` if it still waits; a running one is canceled, when this returns or soon after."""
        run.canceling = run.canceling or status
        self._log.info("cancel", id=run.id)
        if self.queue.discard(run):
            self._metrics.queue.set(len(self.queue))
            await self.end(run, run.canceling)
            return
        if run.accepted:
            await self._send_cancel(run)
        if not await ends_within(run, CANCEL_S):
            self._log.info("slow cancel", id=run.id)

    async def _send_cancel(self, run: Run) -> None:
        # Once: a second one would strike Cog's clean-up after the first. Known before it is sent, also after a restart.
        if run.server and not run.prediction.cancel_requested:
            run.prediction.cancel_requested = True
            await self._store.save_surely(run.prediction)
            await run.server.cancel(run.id)

    async def find_again(self, run: Run, server: CogServer) -> None:
        """After a restart of the API: a prediction that `server` was given before."""
        self.active[run.id] = run
        run.server = server
        self._set_timer(run)
        await server.check()
        if await server.has(run.id):
            await self.watch(server, run)
        elif not await ends_within(run, LOST_S):  # Cog tells of an end again and again for a while.
            if await server.has(run.id):
                await self.watch(server, run)
            elif run.prediction.status == "starting":
                await self.enqueue(run, first=True)
            else:
                await self.end_lost(run)

    def callback_url(self, prediction_id: str) -> str:
        return f"{self._callback_url}/cog/{prediction_id}/{self.proof(prediction_id)}"

    def proof(self, prediction_id: str) -> str:
        return hmac.digest(self._secret, prediction_id.encode(), "sha256").hex()
