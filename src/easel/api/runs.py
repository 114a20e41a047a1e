"""Accepted predictions: queued, given to a server, watched, ended exactly once."""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from easel.api.cogs import DOWN, CogServer
from easel.api.deliveries import Deliveries
from easel.api.outputs import Outputs
from easel.api.problems import Problem
from easel.api.queue import FairQueue
from easel.api.store import Store
from easel.api.tables import FINAL, Prediction
from easel.api.watch import Metrics, now
from easel.client import plain_error

LOST_S = 15.0  # Cog repeats the news of an end for 13 s (seen with coglet 0.23.1); after that it is lost.
WATCH_S = 1.0
CANCEL_S = 5.0  # how long a cancel waits for the server: at most one slow denoising step
BUSY_S = 0.1  # Right after an end a server may still hold its slot.
WARNING = "Warning: "


@dataclass(eq=False)
class Run:
    """A prediction that has not ended."""

    prediction: Prediction
    server: CogServer | None = None  # while one may have it
    accepted: bool = False  # by that server
    canceling: bool = False
    cancel_sent: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.id, self.account, self.version = self.prediction.id, self.prediction.account, self.prediction.version
        # What stands before the server's log; after a restart the rest comes anew.
        lines = self.prediction.logs.splitlines(keepends=True)
        self.preface = "".join(line for line in lines if line.startswith(WARNING))


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
        secret: str,
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
        if run.prediction.deadline and not run.timer:
            delay = max(0.0, run.prediction.deadline - now())
            run.timer = asyncio.get_running_loop().call_later(delay, self._expire, run)
        if run.canceling:
            await self.end(run, "canceled")
        else:
            await self.queue.put(run, first)
        self._metrics.queue.set(len(self.queue))

    def _expire(self, run: Run) -> None:
        task = asyncio.create_task(self.cancel(run, "aborted"))
        self._expiring.add(task)
        task.add_done_callback(self._expiring.discard)

    async def serve(self, server: CogServer) -> None:
        """Give `server` one prediction after another, for ever."""
        while True:
            await server.wait_healthy()
            run = await self.queue.get(server.versions)
            self._metrics.queue.set(len(self.queue))
            if not server.healthy:  # It went while this waited for work.
                await self.enqueue(run, first=True)
                continue
            try:
                await self._run_on(server, run)
            except Exception as error:  # Nothing that one prediction brings may end the server's turn.
                self._log.exception("run", id=run.id, error=repr(error))
                await self.end(run, "failed", error="The API could not run it; its log says why.")

    async def _run_on(self, server: CogServer, run: Run) -> None:
        prediction = run.prediction
        run.server, prediction.server = server, server.url
        await self._store.save_surely(prediction)  # first, so that after a restart it is known where to ask
        given = await asyncio.to_thread(self._resolve, prediction)
        if run.canceling:
            await self.end(run, "canceled")
            return
        try:
            status, answer = await server.start(run.id, given, self.callback_url(run.id))
        except httpx2.ConnectError:
            status, answer = 503, {}
            server.state = DOWN
        except httpx2.HTTPError:
            status, answer = 202, {}  # Perhaps it has it: the watch finds out.
        if status == 202:
            await self.watch(server, run)
        elif status in (409, 503):
            await asyncio.sleep(BUSY_S)
            prediction.server = None
            await self.enqueue(run, first=True)
        else:
            await self.end(run, "failed", error=refusal(answer))

    async def watch(self, server: CogServer, run: Run) -> None:
        """Until it ends: by the server's callback, or because the server does not have it any more."""
        run.server, run.accepted = server, True
        process, missing_since = server.started, None
        await self._started(run, server)
        if run.canceling:
            await self._send_cancel(run)
        running = self._metrics.running.labels(server.url)
        running.inc()
        try:
            while not await ends_within(run, WATCH_S):
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
        if run.ended.is_set() or prediction.status != "starting":
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

    async def news(self, prediction_id: str, proof: str, news: dict[str, Any]) -> None:
        """A Cog server's webhook. Of an ended prediction, or older than what is known: nothing happens."""
        if not hmac.compare_digest(proof, self.proof(prediction_id)):
            raise Problem(404, "There is no such prediction.")
        run = self.active.get(prediction_id)
        if not run:
            return
        prediction = run.prediction
        if run.server:
            await self._started(run, run.server)
        logs = run.preface + (news.get("logs") or "")
        if len(logs) > len(prediction.logs):
            prediction.logs = logs
            self._deliveries.notify(prediction, "logs")
        if news.get("status") in FINAL:
            await self.end(run, news["status"], news.get("output"), news.get("error"), news.get("metrics"))

    async def end(
        self, run: Run, status: str, output: Any = None, error: str | None = None, metrics: dict[str, Any] | None = None
    ) -> None:
        """Once: a second end is none. When this returns it is on disk, and all who wait are told."""
        if self.active.pop(run.id, None) is not run:
            return
        if run.timer:
            run.timer.cancel()
        prediction = run.prediction
        prediction.output = await asyncio.to_thread(self._outputs.save, run.id, output)
        prediction.status, prediction.error, prediction.given = status, plain_error(error) if error else None, None
        prediction.completed_at = now()
        measured = metrics or {}
        started = prediction.started_at
        if "predict_time" not in measured:
            measured["predict_time"] = prediction.completed_at - started if started else 0.0
        prediction.metrics = {**measured, "total_time": prediction.completed_at - prediction.created_at}
        events = prediction.webhook_events_filter
        prediction.webhook_pending = bool(prediction.webhook and (not events or "completed" in events))
        await self._store.save_surely(prediction)
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
        run.canceling = True
        self._log.info("cancel", id=run.id)
        if self.queue.discard(run):
            self._metrics.queue.set(len(self.queue))
            await self.end(run, status)
            return
        if run.accepted:
            await self._send_cancel(run)
        if not await ends_within(run, CANCEL_S):
            self._log.info("slow cancel", id=run.id)

    async def _send_cancel(self, run: Run) -> None:
        if run.server and not run.cancel_sent:  # A second one would strike Cog's clean-up after the first.
            run.cancel_sent = True
            await run.server.cancel(run.id)

    async def find_again(self, run: Run, server: CogServer) -> None:
        """After a restart of the API: a prediction that `server` was given before."""
        self.active[run.id] = run
        run.server = server
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
        return hmac.digest(self._secret.encode(), f"callback {prediction_id}".encode(), "sha256").hex()


async def ends_within(run: Run, seconds: float) -> bool:
    try:
        await asyncio.wait_for(run.ended.wait(), seconds)
    except TimeoutError:
        return False
    return True


def refusal(answer: Any) -> str:
    """Why a Cog server did not take a prediction, from its answer."""
    detail = (answer.get("detail") or answer.get("error") or answer) if isinstance(answer, dict) else answer
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, one['loc'][2:]))}: {one['msg']}" for one in detail)
    return str(detail)
