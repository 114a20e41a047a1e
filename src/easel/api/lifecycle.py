"""Accepted predictions: queued, told of, canceled, ended exactly once."""

import asyncio
import hmac
import time
from collections.abc import Coroutine
from typing import Any

from easel.api.active import ActivePrediction, ends_within
from easel.api.cog_server import CogServer
from easel.api.database import Database
from easel.api.final_state import save_end
from easel.api.input_files import Size, as_text, size_of
from easel.api.outputs import Outputs
from easel.api.partial_output import append_output, keep_validation_images
from easel.api.problems import Problem
from easel.api.queue import FairQueue
from easel.api.queue_limits import QueueLimits
from easel.api.tables import FINAL, Prediction, Version
from easel.api.telemetry import Metrics, describe_error, now
from easel.api.updates import MOST_ERROR, Update, read_text
from easel.api.validation import check_input
from easel.api.webhooks import WebhookSender
from easel.errors import EaselError
from easel.local.client import plain_error

CANCEL_S = 0.3  # how long the answer to a cancel waits for the end
UNKEPT = "The output could not be kept here: is the disk full? The API's log says more."
OVERTIME = "It took longer than {:g} s, this API's limit (--max-seconds), and was canceled. Ask for less."


class Lifecycle:
    """Queue, run, cancel and end predictions. `secret` signs the callback URL of each."""

    def __init__(
        self,
        database: Database,
        outputs: Outputs,
        webhooks: WebhookSender,
        metrics: Metrics,
        log: Any,
        *,
        callback_url: str,
        secret: bytes,
        limits: QueueLimits,
        max_seconds: float,
        grace_s: float,
    ) -> None:
        """`grace_s`: how long a server may take for a cancel, until it ends without its word."""
        self.queue: FairQueue[ActivePrediction] = FairQueue()
        self.active: dict[str, ActivePrediction] = {}
        self._database, self._outputs, self._webhooks = database, outputs, webhooks
        self._metrics, self._log = metrics, log
        self._callback_url, self._secret, self._limits = callback_url, secret, limits
        self._arriving: set[ActivePrediction] = set()  # which are being saved
        self._max_seconds, self._grace_s = max_seconds, grace_s
        self._tasks: set[asyncio.Task[Any]] = set()

    async def submit(self, prediction: Prediction, size: Size, previews: int = 0) -> ActivePrediction:
        """Accept: on disk first, then queued. Raises DatabaseError, or Problem (429) if the account has too many."""
        run = ActivePrediction(prediction, size, previews)
        self._limits.check(run.account, size, [*self.queue.all(), *self._arriving])
        self._arriving.add(run)
        try:
            await self._database.accept(prediction)
        finally:
            self._arriving.discard(run)
        self._log.info("accepted", id=prediction.id, account=prediction.account, model=prediction.model)
        await self.enqueue(run)
        return run

    async def restored(self, prediction: Prediction) -> ActivePrediction:
        """Return the run of a prediction that was accepted before a restart; it is not in the queue yet."""
        given = prediction.given or prediction.input
        return ActivePrediction(prediction, await asyncio.to_thread(size_of, self._outputs, prediction.id, given))

    async def enqueue(self, run: ActivePrediction, first: bool = False) -> None:
        """Put it into the queue; `first`: back to where it was. One that has ended meanwhile is left alone."""
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

    def set_timer(self, run: ActivePrediction) -> None:
        """Start its timers: the deadline that it came with, the limit for what runs, the grace of a cancel."""
        if run.prediction.deadline:
            delay = run.prediction.deadline - now()
            run.set_timer("deadline", delay, lambda run: self.do(self.cancel(run, "aborted")))
        if run.started is not None:
            delay = run.overtime_of(self._max_seconds) - (time.monotonic() - run.started)
            run.set_timer("overtime", delay, lambda run: self.do(self._stop_overtime(run)))
        if run.canceling:
            run.set_timer("grace", self._grace_s, lambda run: self.do(self._give_up(run)))

    async def move(self, run: ActivePrediction, version: Version) -> None:
        """Make a waiting one, whose version no server runs any more, one of `version`; or end it as failed."""
        if not self.queue.discard(run):
            return
        run.retarget(version.id)
        try:
            given = as_text(run.prediction.given or run.prediction.input)
            await asyncio.to_thread(check_input, given, version.openapi_schema)
        except Problem as problem:
            why = "No server runs the version any more that this was sent to, and the newest refuses it:"
            await self.end(run, "failed", error=f"{why} {problem.detail.strip()}")
        else:
            await self.enqueue(run)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop_overtime(self, run: ActivePrediction) -> None:
        run.overtime = OVERTIME.format(run.overtime_of(self._max_seconds))
        await self.cancel(run)

    async def _give_up(self, run: ActivePrediction) -> None:
        """End it although its server has not obeyed; the server gets no work until it is free."""
        if run.server and not run.ending:
            run.server.stuck = run.id
            self._log.warning("stuck", id=run.id, server=run.server.url)
        await self.end(run, "canceled")

    async def started(self, run: ActivePrediction, server: CogServer) -> None:
        prediction = run.prediction
        if run.ending or prediction.status != "starting":
            return
        prediction.status, prediction.started_at = "processing", now()
        run.started = time.monotonic()
        self.set_timer(run)
        self._metrics.queue_s.labels(prediction.model).observe(prediction.started_at - prediction.created_at)
        self._log.info("started", id=run.id, server=server.url)
        self._webhooks.notify(prediction, "start")
        values = {"status": "processing", "started_at": prediction.started_at}
        await self._database.set_with_retry(Prediction, run.id, Prediction.status.not_in(FINAL), **values)

    def verify_callback(self, prediction_id: str, signature: str) -> bool:
        """Return whether it is active. Raises Problem (404) unless the signature is that of its callback URL."""
        if not hmac.compare_digest(signature.encode(), self.signature(prediction_id).encode()):
            raise Problem(404, "There is no such prediction.")
        return prediction_id in self.active

    async def apply_update(self, prediction_id: str, update: Update) -> None:
        """Apply a Cog server's callback. One of an ended prediction, or older than what is known, changes nothing."""
        if not (run := self.active.get(prediction_id)) or run.ending:
            return
        prediction = run.prediction
        if run.server:
            await self.started(run, run.server)
        await keep_validation_images(run, update.validation_images, self._outputs)
        if len(logs := run.warning_lines + update.logs) > len(prediction.logs):
            prediction.logs = logs
            self._webhooks.notify(prediction, "logs")
            run.tell()
        run.show(update.previews)
        if update.status:
            await self.end(run, update.status, update.output, update.error, update.metrics)
        elif isinstance(update.output, list):
            await append_output(run, update.output, self._outputs, self._webhooks)

    async def unreadable(self, prediction_id: str, why: str) -> None:
        """End it as failed, since a Cog server said something of it that cannot be kept."""
        if run := self.active.get(prediction_id):
            self._log.error("news", id=run.id, problem=why)
            if run.server and run.accepted:
                await run.server.cancel(run.id)
            await self.end(run, "failed", error=f"What the model's server told of it cannot be kept here. {why}")

    async def end(
        self,
        run: ActivePrediction,
        status: str,
        output: Any = None,
        error: str | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """End it; a second end changes nothing. When this returns it is on disk, and all who wait are told."""
        if run.ending:
            return
        run.ending = True
        self.queue.discard(run)
        run.stop_timers()
        if run.overtime and status == "canceled":
            status, error = "failed", run.overtime
        kept = run.prediction.output  # of a model that yields, where its server does not say it again
        try:
            async with run.saving:
                if output is not None:
                    kept = await asyncio.to_thread(self._outputs.save, run.id, output)
        except Exception as problem:
            self._log.error("output", id=run.id, **describe_error(problem))
            kept, status, error = None, "failed", str(problem) if isinstance(problem, EaselError) else UNKEPT
        done = run.final(status, kept, plain_error(read_text(error, MOST_ERROR)) if error else None, metrics)
        await save_end(self._database, self._log, done)  # before anybody is told: what was told stays true
        run.publish(done)
        prediction = run.prediction
        del self.active[run.id]
        self._metrics.ended.labels(prediction.model, done.status).inc()
        if run.started is not None:
            self._metrics.predict_s.labels(prediction.model).observe(time.monotonic() - run.started)
        self._log.info("ended", id=run.id, status=done.status, error=prediction.error)
        run.ended.set()
        run.tell()
        if prediction.output is not None:
            self._webhooks.notify(prediction, "output")
        self._webhooks.notify(prediction, "completed")

    async def cancel(self, run: ActivePrediction, status: str = "canceled") -> None:
        """End it with `status` unless it runs; a running one is canceled, when this returns or soon after."""
        run.canceling = run.canceling or status
        self._log.info("cancel", id=run.id)
        if run.prediction.status == "starting":
            run.prediction.cancel_requested = run.server is not None  # Who gives it to that one tells it.
            await self.end(run, run.canceling)
            self._metrics.queue.set(len(self.queue))
            return
        self.set_timer(run)
        self.do(self.send_cancel(run))
        await ends_within(run, CANCEL_S)

    async def send_cancel(self, run: ActivePrediction) -> None:
        """Tell its server, until that has answered: what is wanted is on disk first.

        Once it has, never again: a second cancel would strike Cog's clean-up after the first.
        """
        if run.sending or run.cancel_answered or not run.accepted or not run.server:
            return
        run.sending = True
        try:
            if not run.prediction.cancel_requested:
                run.prediction.cancel_requested = True
                await self._database.set_with_retry(Prediction, run.id, cancel_requested=True)
            if await run.server.cancel(run.id):
                run.cancel_answered = run.prediction.cancel_answered = True
                await self._database.set_with_retry(Prediction, run.id, cancel_answered=True)
        finally:
            run.sending = False

    def callback_url(self, prediction_id: str) -> str:
        return f"{self._callback_url}/cog/{prediction_id}/{self.signature(prediction_id)}"

    def signature(self, prediction_id: str) -> str:
        return hmac.digest(self._secret, prediction_id.encode(), "sha256").hex()
