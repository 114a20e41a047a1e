"""The open-loop driver: each request leaves at its intended time, whatever became of those before it.

Latency counts from the intended time, not from when the request left. A driver that waits for answers sends nothing
while the target stalls, and so leaves out the very requests that would have shown the stall: "coordinated omission"
(Gil Tene, "How NOT to Measure Latency"; his wrk2, github.com/giltene/wrk2, measures from the planned time as well).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from easel.errors import InputError
from easel.platforms.http import RequestError
from easel.platforms.inputs import MakeInputs
from easel.platforms.results import Phase, Request
from easel.platforms.targets import Answer, Target
from easel.platforms.trace import read_arrivals

MAX_ARRIVALS = 1_000_000
Note = Callable[[Request], None]


def constant_arrivals(rate: float, count: int) -> list[float]:
    """Return `count` times in seconds from 0, `rate` a second, evenly spaced."""
    return [number / rate for number in range(count)]


def poisson_arrivals(rate: float, count: int, seed: int) -> list[float]:
    """Return `count` times in seconds from 0: a Poisson process of `rate` a second, the same for the same seed."""
    generator = Random(seed)
    return list(accumulate((generator.expovariate(rate) for _ in range(count - 1)), initial=0.0))[:count]


def read_trace(path: Path, most: int | None) -> list[float]:
    """Return the first `most` arrivals of a file, in seconds from 0. Raises InputError."""
    times = read_arrivals(path)[:most]
    if times.size > MAX_ARRIVALS:
        raise InputError(f"{path} has over {MAX_ARRIVALS:,} arrivals. Use --requests to take the first ones.")
    return [float(seconds) for seconds in times]


@dataclass
class Budget:
    """Says whether one more request fits below `most` (USD): what was run, what runs, and one more at the mean.

    `price` is USD a second of run time. Without a ceiling every request fits.
    """

    price: float | None = None
    most: float | None = None
    expected: float | None = None  # seconds of a run, before any has ended
    seconds: float = 0.0
    ended: int = 0
    running: int = 0

    def allows(self) -> bool:
        mean = self.seconds / self.ended if self.ended else self.expected or 0.0
        return self.most is None or (self.price or 0.0) * (self.seconds + (self.running + 1) * mean) <= self.most

    def settle(self, request: Request) -> None:
        """Count what a request ran; where the target does not say, all the time since it was sent."""
        self.running -= 1
        if request.error in ("refused", "rate_limited"):
            return
        self.ended += 1
        since = request.completed - request.sent
        self.seconds += request.run_seconds if request.run_seconds is not None else since


@dataclass
class Driver:
    """Sends requests to a target and notes each when it has ended. `stop` ends it early, and cancels what runs."""

    target: Target
    make_inputs: MakeInputs
    note: Note
    timeout: float
    budget: Budget
    stop: asyncio.Event
    number: int = 0  # of the next request

    async def drive(self, arrivals: Sequence[float], phase: Phase) -> bool:
        """Send at these times from now on and wait for all answers. Return whether all were sent, and not stopped."""
        clock = asyncio.get_running_loop().time
        origin = clock()
        tasks: set[asyncio.Task[None]] = set()
        complete = True
        for offset in arrivals:
            if await self._stopped_within(origin + offset - clock()) or not self.budget.allows():
                complete = False
                break
            self.budget.running += 1
            tasks.add(asyncio.create_task(self._one(self.number, origin, offset, phase)))
            self.number += 1
        ended: asyncio.Future[Any] = asyncio.gather(*tasks, return_exceptions=True)
        stopping: asyncio.Future[Any] = asyncio.create_task(self.stop.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in tasks:
            task.cancel()  # of those that have ended nothing is left to cancel
        for error in await ended:
            if error and not isinstance(error, asyncio.CancelledError):  # canceled before its first step: never sent
                raise error
        return complete and not self.stop.is_set()

    async def _stopped_within(self, seconds: float) -> bool:
        """Wait so long, at least until what is due has begun; return whether it was told to stop."""
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.stop.wait()
        return self.stop.is_set()

    async def _one(self, number: int, origin: float, offset: float, phase: Phase) -> None:
        clock = asyncio.get_running_loop().time
        sent, until = clock(), origin + offset + self.timeout
        answer: Answer | None = None
        error = RequestError("canceled", "It was stopped from here.")
        inputs = self.make_inputs(number)
        try:
            async with asyncio.timeout_at(until):
                answer = await self.target.send(inputs)
            completed = answer.completed
        except TimeoutError:
            error, completed = RequestError("timeout", f"No end within {self.timeout:g} s."), until
        except RequestError as refusal:
            error, completed = refusal, clock()
        except asyncio.CancelledError:  # by `drive`, which waits for this note
            completed = clock()
        completed = max(completed, sent)
        seed = inputs.get("seed")
        request = Request(
            number=number,
            phase=phase,
            id=answer.id if answer else None,
            seed=seed if isinstance(seed, int) else None,
            intended=offset,
            sent=sent - origin,
            started=answer.started - origin if answer and answer.started is not None else None,
            completed=completed - origin,
            queue_seconds=answer.queue_seconds if answer else None,
            run_seconds=answer.run_seconds if answer else None,
            latency_seconds=max(0.0, completed - origin - offset),
            status=answer.status if answer else error.kind,
            error=answer.error if answer else error.kind,
            detail=answer.detail if answer else error.detail,
            retry_after=None if answer else error.retry_after,
        )
        self.budget.settle(request)
        self.note(request)
