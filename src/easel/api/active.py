"""One accepted prediction while it has not ended, and what is read out of a Cog server's words about it."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from easel.api.cog_server import CogServer
from easel.api.input_files import Size
from easel.api.redaction import redact_queries
from easel.api.tables import Prediction
from easel.api.telemetry import now
from easel.api.updates import Preview

WARNING = "Warning: "
LONGEST_TRAINING_S = 24 * 3600.0  # ten times what a training of the flagship takes on one card


@dataclass(eq=False)
class ActivePrediction:
    """A prediction that has not ended."""

    prediction: Prediction
    size: Size = field(default_factory=Size)  # of its input
    wanted_previews: int = 0  # of each image
    server: CogServer | None = None  # while one may have it
    accepted: bool = False  # by that server
    canceling: str = ""  # or the status with which it is to end
    overtime: str = ""  # or why it is canceled although nobody asked for that
    sending: bool = False  # a cancel is on its way to the server
    cancel_answered: bool = False  # the server has taken it
    ending: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    started: float | None = None  # by the monotonic clock
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)  # one output at a time goes into its folder
    heard: float = -math.inf  # when its server's word was last read, by the monotonic clock
    held: bytes | None = None  # the newest word since then
    previews: list[Preview] = field(default_factory=list)  # what its images look like so far
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # set once, and replaced, at each change

    def __post_init__(self) -> None:
        self.id, self.account = self.prediction.id, self.prediction.account
        self.created = monotonic_of(self.prediction.created_at)
        if self.prediction.started_at:
            self.started = monotonic_of(self.prediction.started_at)
        # What stands before the server's log; after a restart the rest comes anew.
        lines = self.prediction.logs.splitlines(keepends=True)
        self.warning_lines = "".join(line for line in lines if line.startswith(WARNING))
        if self.prediction.cancel_requested:  # before a restart
            self.canceling, self.cancel_answered = "canceled", self.prediction.cancel_answered

    @property
    def version(self) -> str:
        """Return what a server must run to be given it."""
        return self.prediction.runs_on or self.prediction.version

    def retarget(self, version: str) -> None:
        """Let it run on `version`, in the place of one that no server runs any more."""
        if self.prediction.runs_on:
            self.prediction.runs_on = version
        else:
            self.prediction.version = version

    def overtime_of(self, max_seconds: float) -> float:
        """Return how long it may run, in seconds; `max_seconds` are for predictions."""
        return LONGEST_TRAINING_S if self.prediction.destination else max_seconds

    def tell(self) -> None:
        """Wake who waits for more logs, more output or the end."""
        self.changed.set()
        self.changed = asyncio.Event()

    def show(self, previews: list[Preview]) -> None:
        """Keep the previews for who wants them, unless as many are known."""
        if self.wanted_previews and len(previews) > len(self.previews):
            self.previews = previews
            self.tell()

    def set_timer(self, name: str, seconds: float, act: Callable[["ActivePrediction"], None]) -> None:
        """Call `act` in so many seconds, unless it ends before; of one name there is one."""
        if name not in self.timers and not self.ending:
            self.timers[name] = asyncio.get_running_loop().call_later(max(0.0, seconds), act, self)

    def stop_timers(self) -> None:
        for timer in self.timers.values():
            timer.cancel()

    def final(self, status: str, output: Any, error: str | None, metrics: dict[str, Any] | None) -> Prediction:
        """Return a copy of the prediction as it ended. Durations are by the monotonic clock."""
        columns = {column.key: getattr(self.prediction, column.key) for column in Prediction.__table__.columns}
        # What is not set yet gets its default when it is saved.
        done, at = Prediction(**{key: value for key, value in columns.items() if value is not None}), time.monotonic()
        done.status, done.output, done.given, done.error, done.completed_at = status, output, None, error, now()
        measured = {"predict_time": at - self.started if self.started else 0.0} | (metrics or {})
        done.metrics = {**(self.prediction.metrics or {}), **measured, "total_time": at - self.created}
        events = done.webhook_events_filter
        done.webhook_pending = bool(done.webhook and (not events or "completed" in events))
        return done

    def publish(self, done: Prediction) -> None:
        """Show the copy's state to all who hold the prediction."""
        for column in Prediction.__table__.columns:
            setattr(self.prediction, column.key, getattr(done, column.key))


def monotonic_of(moment: float) -> float:
    """Return a Unix time by the monotonic clock, which no correction of the wall clock moves."""
    return time.monotonic() - max(0.0, now() - moment)


async def ends_within(run: ActivePrediction, seconds: float) -> bool:
    try:
        await asyncio.wait_for(run.ended.wait(), seconds)
    except TimeoutError:
        return False
    return True


def refusal_reason(answer: Any) -> str:
    """Return why a Cog server did not take a prediction, from its answer."""
    detail = (answer.get("detail") or answer.get("error") or answer) if isinstance(answer, dict) else answer
    if isinstance(detail, list) and all(isinstance(one, dict) and isinstance(one.get("loc"), list) for one in detail):
        detail = "; ".join(f"{'.'.join(map(str, one['loc'][2:]))}: {one.get('msg')}" for one in detail[:20])
    return redact_queries(str(detail)[:2000])
