"""A measurement from the first answer to the last: what it will cost, the cold request, warm-up, then the load."""

import asyncio
import signal
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from easel import __version__
from easel.errors import InputError
from easel.platforms.find_target import Place, find_target
from easel.platforms.http import open_client
from easel.platforms.inputs import inputs_maker, shown_inputs
from easel.platforms.load import Budget, Driver, constant_arrivals, poisson_arrivals
from easel.platforms.results import Recording, Request, Run
from easel.platforms.targets import About

DEFAULT_UTILISATION = 0.5  # of one server: where a queue shows, and does not yet grow without end
NOT_SENT = "This may cost money, so nothing was sent. Add --yes to send it."


@dataclass(frozen=True)
class Settings:
    """How a target is measured. Without `trace` and `rate` the rate is half of what the warm-up shows."""

    requests: int = 50
    rate: float | None = None
    constant: bool = False
    trace: tuple[float, ...] = ()
    trace_name: str = ""
    seed: int = 0
    warm_up: int = 2
    timeout: float = 600.0  # seconds from the intended time; Replicate ends a prediction after 30 minutes
    price: float | None = None
    max_cost: float | None = None
    yes: bool = False  # it may bill

    @property
    def all_requests(self) -> int:
        return 1 + self.warm_up + (len(self.trace) or self.requests)


@dataclass(frozen=True)
class Caller:
    """What the command lends. `headers`: who asks. `given` returns the inputs, as the target's schema wants them."""

    headers: dict[str, str]
    given: Callable[[About], dict[str, Any]]
    note: Callable[[Request], None]
    say: Callable[[str], None]


async def measure(place: Place, settings: Settings, caller: Caller, recording: Recording, *, load: bool = True) -> int:
    """Fill `recording` until all is sent, a signal comes, or the target refuses the first request.

    `load`: False ends after the cold request. Return the number of the signal that ended it, otherwise 0.
    Raises InputError, or ServerError where the target does not answer.
    """
    if place.bills and not settings.yes and not place.model:
        # Not even asked what it is: on Modal that would start a container.
        raise InputError(f"{settings.all_requests} requests to {place.shown}. {NOT_SENT}")
    with stopped_by_signals() as stopped:
        async with open_client(place.url, caller.headers) as client:
            clock = asyncio.get_running_loop().time
            asked = clock()
            target = await or_stop(find_target(client, place, settings.timeout), stopped)
            if target is None:
                return stopped.signum
            about, waited = target.about, clock() - asked
            given = caller.given(about)
            recording.run = recording.run or describe(place, settings, about, given, waited)
            budget = Budget(settings.price, settings.max_cost, about.run_seconds)
            plan = plan_of(place, settings, about)
            if place.bills and not settings.yes:
                raise InputError(f"{plan}\n{NOT_SENT}")
            if load and place.bills:
                caller.say(plan)

            def note(request: Request) -> None:
                recording.requests.append(request)
                caller.note(request)

            make_inputs = inputs_maker(given, about.schema, settings.seed)
            driver = Driver(target, make_inputs, note, settings.timeout, budget, stopped.event, len(recording.requests))
            sent = await driver.drive([0.0], "cold")
            if sent and load and recording.requests[-1].error != "refused":
                sent = await run_load(driver, settings, recording, caller)
            if not sent and not stopped.signum:
                recording.notes.append(f"Stopped sending: the next request may exceed --max-cost {settings.max_cost}.")
    return stopped.signum


async def run_load(driver: Driver, settings: Settings, recording: Recording, caller: Caller) -> bool:
    """Warm up one by one, then send the schedule. Return whether all was sent."""
    for _ in range(settings.warm_up):
        if not await driver.drive([0.0], "warm-up"):
            return False
    rate = settings.rate
    if not settings.trace and rate is None:
        before = recording.of("warm-up", "cold")
        times = [one.run_seconds or one.latency_seconds for one in before if not one.error]
        rate = DEFAULT_UTILISATION / max(0.001, statistics.median(times[-settings.warm_up :])) if times else 1.0
        caller.say(f"{rate:.3g} requests/s: half of what one server can do by its warm-up. Choose another by --rate.")
    if recording.run and rate:
        recording.run = recording.run.model_copy(update={"rate": rate})
    make = constant_arrivals if settings.constant else lambda rate, n: poisson_arrivals(rate, n, settings.seed)
    return await driver.drive(settings.trace or make(rate or 1.0, settings.requests), "warm")


def plan_of(place: Place, settings: Settings, about: About) -> str:
    """Return what will be sent and what it may cost, as sentences."""
    plan = f"{settings.all_requests} requests to {place.shown} ({about.model or about.protocol})."
    if settings.price is None:
        return f"{plan} Their cost is not known without --price-per-second."
    ceiling = "" if settings.max_cost is None else f" Nothing is sent that may exceed {settings.max_cost} USD."
    if about.run_seconds is None:
        return f"{plan} How long one runs is not known before the first.{ceiling}"
    cost = settings.all_requests * about.run_seconds * settings.price
    return f"{plan} About {cost:.4f} USD, at {about.run_seconds:g} s each as in the model's example.{ceiling}"


def describe(place: Place, settings: Settings, about: About, given: dict[str, Any], waited: float) -> Run:
    if settings.trace:
        schedule = f"trace {settings.trace_name}"
    else:
        schedule = "constant" if settings.constant else f"poisson, seed {settings.seed}"
    return Run(
        target=place.shown,
        protocol=about.protocol,
        model=about.model,
        version=about.version,
        began_at=datetime.now(UTC).isoformat(timespec="seconds"),
        easel=__version__,
        inputs=shown_inputs(given, about.schema),
        schedule=schedule,
        rate=settings.rate,
        timeout=settings.timeout,
        price_per_second=settings.price,
        max_cost=settings.max_cost,
        answer_seconds=waited,
        setup_seconds=about.setup_seconds,
        slots=about.slots,
    )


class Stopped:
    """`event` is set when a signal came, `signum` is which, 0 before."""

    def __init__(self) -> None:
        self.event, self.signum = asyncio.Event(), 0

    def by(self, signum: int) -> None:
        self.signum = self.signum or signum
        self.event.set()


@contextmanager
def stopped_by_signals() -> Iterator[Stopped]:
    """Note SIGINT and SIGTERM instead of leaving at once: what runs is canceled on the target, what was measured kept.

    What the signals did before is put back at the end.
    """
    loop, stopped = asyncio.get_running_loop(), Stopped()
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    for signum in before:
        loop.add_signal_handler(signum, stopped.by, signum)
    try:
        yield stopped
    finally:
        for signum, handler in before.items():
            loop.remove_signal_handler(signum)
            signal.signal(signum, handler)


async def or_stop(work: Any, stopped: Stopped) -> Any:
    """Return what `work` gives, or None when a signal comes first."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stopped.event.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopping.cancel()
