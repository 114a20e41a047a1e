"""Accepted predictions: queued, told of, canceled, ended exactly once."""

import asyncio
import hmac
from typing import Any

from easel.api.cogs import CogServer
from easel.api.deliveries import Deliveries
from easel.api.input_files import Size, as_text, size_of
from easel.api.inputs import check_input
from easel.api.news import MOST_ERROR, News, read_text
from easel.api.outputs import Outputs
from easel.api.problems import Problem
from easel.api.queue import FairQueue
from easel.api.room import Room
from easel.api.run import Run, ends_within
from easel.api.store import RowRefusedError, Store
from easel.api.tables import Prediction, Version
from easel.api.watch import Metrics, now, without_values
from easel.client import plain_error
from easel.errors import EaselError

CANCEL_S = 5.0  # how long a cancel waits for the server: at most one slow denoising step


class Runs:
    """`secret` proves that a callback comes from a server that was given the prediction."""

    def __init__(
        self,
        store: Store,
        outputs: Outputs,
        deliveries: Deliveries,
        metrics: Metrics,
        log: Any,
        *,
        callback_url: str,
        secret: bytes,
        room: Room,
    ) -> None:
        self.queue = FairQueue()
        self.active: dict[str, Run] = {}
        self._store, self._outputs, self._deliveries = store, outputs, deliveries
        self._metrics, self._log = metrics, log
        self._callback_url, self._secret, self._room = callback_url, secret, room
        self._arriving: set[Run] = set()  # which are being saved
        self._expiring: set[asyncio.Task] = set()

    async def submit(self, prediction: Prediction, size: Size) -> Run:
        """Accept: on disk first, then in the queue. Raises Problem (429) when the account has no room, StoreError."""
        run = Run(prediction, size)
        self._room.check(run.account, size, [*self.queue.all(), *self._arriving])
        self._arriving.add(run)
        try:
            await self._store.save(prediction)
        finally:
            self._arriving.discard(run)
        self._log.info("accepted", id=prediction.id, account=prediction.account, model=prediction.model)
        await self.enqueue(run)
        return run

    async def restored(self, prediction: Prediction) -> Run:
        """Return the run of a prediction that was accepted before a restart; it is not in the queue yet."""
        given = prediction.given or prediction.input
        return Run(prediction, await asyncio.to_thread(size_of, self._outputs, prediction.id, given))

    async def enqueue(self, run: Run, first: bool = False) -> None:
        """`first`: back to where it was. One that ended meanwhile, by late news, is left alone."""
        if run.ending:
            return
        self.active[run.id] = run
        run.server, run.accepted = None, False
        self.set_timer(run)
        if run.canceling:
            await self.end(run, run.canceling)
        else:
            await self.queue.put(run, first)
        self._metrics.queue.set(len(self.queue))

    def set_timer(self, run: Run) -> None:
        if run.prediction.deadline and not run.timer:
            delay = max(0.0, run.prediction.deadline - now())
            run.timer = asyncio.get_running_loop().call_later(delay, self._expire, run)

    async def move(self, run: Run, version: Version) -> None:
        """A waiting one, whose version no server runs any more, becomes one of `version`; or ends in words."""
        if not self.queue.discard(run):
            return
        run.prediction.version = version.id
        try:
            given = as_text(run.prediction.given or run.prediction.input)
            await asyncio.to_thread(check_input, given, version.openapi_schema)
        except Problem as problem:
            why = "No server runs the version any more that this was sent to, and the newest refuses it:"
            await self.end(run, "failed", error=f"{why} {problem.detail.strip()}")
        else:
            await self.enqueue(run)

    def _expire(self, run: Run) -> None:
        task = asyncio.create_task(self.cancel(run, "aborted"))
        self._expiring.add(task)
        task.add_done_callback(self._expiring.discard)

    async def started(self, run: Run, server: CogServer) -> None:
        prediction = run.prediction
        if run.ending or prediction.status != "starting":
            return
        prediction.status, prediction.started_at = "processing", now()
        self._metrics.queue_s.labels(prediction.model).observe(prediction.started_at - prediction.created_at)
        self._log.info("started", id=run.id, server=server.url)
        self._deliveries.notify(prediction, "start")
        await self._store.save_surely(prediction)

    def expects(self, prediction_id: str, proof: str) -> bool:
        """Whether there may be news of it. Raises Problem (404) unless they come from a server that was given it."""
        if not hmac.compare_digest(proof.encode(), self.proof(prediction_id).encode()):
            raise Problem(404, "There is no such prediction.")
        return prediction_id in self.active

    async def news(self, prediction_id: str, news: News) -> None:
        """A Cog server's webhook. Of an ended prediction, or older than what is known: nothing happens."""
        run = self.active.get(prediction_id)
        if not run or run.ending:
            return
        prediction = run.prediction
        if run.server:
            await self.started(run, run.server)
        logs = run.preface + news.logs
        if len(logs) > len(prediction.logs):
            prediction.logs = logs
            self._deliveries.notify(prediction, "logs")
        if news.status:
            await self.end(run, news.status, news.output, news.error, news.metrics)

    async def unreadable(self, prediction_id: str, why: str) -> None:
        """A Cog server said something of it that cannot be kept: it ends, in words."""
        if run := self.active.get(prediction_id):
            self._log.error("news", id=run.id, problem=why)
            if run.server and run.accepted:
                await run.server.cancel(run.id)
            await self.end(run, "failed", error=f"What the model's server told of it cannot be kept here. {why}")

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
            if isinstance(problem, EaselError):
                error = str(problem)
        prediction.output = kept
        prediction.status, prediction.given = status, None
        prediction.error = plain_error(read_text(error, MOST_ERROR)) if error else None
        prediction.completed_at = now()
        measured = dict(metrics or {})
        started = prediction.started_at
        if "predict_time" not in measured:
            measured["predict_time"] = prediction.completed_at - started if started else 0.0
        prediction.metrics = {**measured, "total_time": prediction.completed_at - prediction.created_at}
        events = prediction.webhook_events_filter
        prediction.webhook_pending = bool(prediction.webhook and (not events or "completed" in events))
        await self._save_end(prediction)
        del self.active[run.id]
        self._metrics.ended.labels(prediction.model, status).inc()
        if started:
            self._metrics.predict_s.labels(prediction.model).observe(prediction.completed_at - started)
        self._log.info("ended", id=run.id, status=status, error=prediction.error)
        run.ended.set()
        if prediction.output is not None:
            self._deliveries.notify(prediction, "output")
        self._deliveries.notify(prediction, "completed")

    async def _save_end(self, prediction: Prediction) -> None:
        """However odd what the model gave is, that it ended is kept."""
        try:
            await self._store.save_surely(prediction)
        except RowRefusedError as problem:
            self._log.error("refused", id=prediction.id, problem=str(problem))
            prediction.status, prediction.output, prediction.logs, prediction.metrics = "failed", None, "", {}
            prediction.error = "The database of this API cannot hold what the model's server told of it."
            names = ("status", "output", "logs", "metrics", "error", "given", "completed_at", "webhook_pending")
            values = {name: getattr(prediction, name) for name in names}  # and nothing else of the row
            await self._store.set_surely(Prediction, prediction.id, **values)

    async def cancel(self, run: Run, status: str = "canceled") -> None:
        """End it with `status` if it still waits; a running one is canceled, when this returns or soon after."""
        run.canceling = run.canceling or status
        self._log.info("cancel", id=run.id)
        if self.queue.discard(run):
            self._metrics.queue.set(len(self.queue))
            await self.end(run, run.canceling)
            return
        if run.accepted:
            await self.send_cancel(run)
        if not await ends_within(run, CANCEL_S):
            self._log.info("slow cancel", id=run.id)

    async def send_cancel(self, run: Run) -> None:
        # Once: a second one would strike Cog's clean-up after the first. Known before it is sent, also after a restart.
        if run.server and not run.prediction.cancel_requested:
            run.prediction.cancel_requested = True
            await self._store.save_surely(run.prediction)
            await run.server.cancel(run.id)

    def callback_url(self, prediction_id: str) -> str:
        return f"{self._callback_url}/cog/{prediction_id}/{self.proof(prediction_id)}"

    def proof(self, prediction_id: str) -> str:
        return hmac.digest(self._secret, prediction_id.encode(), "sha256").hex()
