"""Whether this process can still serve: what `Runner.healthcheck()` answers."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from easel.logs import log

if TYPE_CHECKING:
    from types import FrameType

STUCK_S = 30.0  # a cancel strikes between two bytecodes, so at most one slow denoising step later


class Running:
    """A prediction in work, and how many references to Cog's exception class there are without a cancel of it."""

    def __init__(self, references: int) -> None:
        self.references = references


class Health:
    """Says no while a cancelled prediction does not end, or a thread does not start, for STUCK_S.

    Cog tells nobody in this process of a cancel. But what is cancelled holds one more reference to Cog's exception
    class: PyThreadState_SetAsyncExc takes it, then the exception that was raised has it, until the prediction ends.
    """

    def __init__(self, cancelation: type[BaseException], clock: Callable[[], float] = time.monotonic) -> None:
        self._cancelation = cancelation
        self._clock = clock
        self._lock = threading.Lock()  # Cog asks in a thread of its own
        self._running: Running | None = None
        self._since: dict[object, float] = {}  # when each thing that waits was first seen
        self._said = False

    @contextmanager
    def prediction(self) -> Iterator[None]:
        """Look for a cancel while the block runs."""
        self._running = Running(sys.getrefcount(self._cancelation))
        try:
            yield
        finally:
            self._running = None

    def is_well(self) -> bool:
        """False when what waits has done so for STUCK_S, as far as it was asked about; one log line says what."""
        with self._lock:
            now = self._clock()
            waiting = self._waiting()
            self._since = {thing: self._since.get(thing, now) for thing in waiting}
            stuck = [waiting[thing] for thing, since in self._since.items() if now - since >= STUCK_S]
            if stuck and not self._said:
                log(f"unhealthy: for {STUCK_S:g} s {' and '.join(stuck)}. Restart this server.")
            self._said = bool(stuck)
            return not stuck

    def _waiting(self) -> dict[object, str]:
        """Return what should soon be over, and what to say of it otherwise."""
        waiting: dict[object, str] = dict.fromkeys(starting_threads(), "a thread has not started")
        if running := self._running:
            references = sys.getrefcount(self._cancelation)
            if references > running.references:
                waiting[running] = "a cancelled prediction has not ended"
            running.references = min(running.references, references)  # exceptions of earlier ones may go meanwhile
        return waiting


def starting_threads() -> list[threading.Thread]:
    """Those that others wait for in Thread.start(): an instant each, unless they died before they could say so."""
    starting = []
    for innermost in sys._current_frames().values():  # noqa: SLF001 -- Python offers no other way
        frame: FrameType | None = innermost
        while frame:
            if frame.f_code is threading.Thread.start.__code__:
                starting.append(frame.f_locals["self"])
            frame = frame.f_back
    return starting
