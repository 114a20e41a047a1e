"""The open-loop driver on a virtual clock: each time is known from queueing by hand."""

import asyncio
import itertools
import signal
import statistics
from dataclasses import dataclass, field
from typing import Any

import pytest

from easel.errors import InputError
from easel.platforms.http import RequestError
from easel.platforms.load import Budget, Driver, constant_arrivals, poisson_arrivals, read_trace
from easel.platforms.results import Recording, Request
from easel.platforms.summary import sentences_of
from easel.platforms.targets import About, Answer
from tests.support.virtual_time import run_in_virtual_time


@dataclass
class OneServer:
    """Takes `seconds` for each, one after another; nothing begins during `stall`, a pair of times."""

    seconds: float
    stall: tuple[float, float] = (0.0, 0.0)
    about: About = field(default_factory=lambda: About("cog", "", "", None))
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    canceled: int = 0

    async def send(self, inputs: dict[str, Any]) -> Answer:
        clock = asyncio.get_running_loop().time
        arrived = clock()
        try:
            async with self.turn:
                if self.stall[0] <= clock() < self.stall[1]:
                    await asyncio.sleep(self.stall[1] - clock())
                began = clock()
                await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        return Answer("x", "succeeded", clock(), began, began - arrived, self.seconds)


def drive(target, arrivals, *, timeout=100.0, budget=None, make_inputs=None, stop_at=None):
    noted: list[Request] = []

    async def work():
        driver = Driver(
            target,
            make_inputs or (lambda number: {"seed": number}),
            noted.append,
            timeout,
            budget or Budget(),
            asyncio.Event(),
        )
        if stop_at is not None:
            asyncio.get_running_loop().call_later(stop_at, driver.stop.set)
        return await driver.drive(arrivals, "warm")

    complete = run_in_virtual_time(work())
    return sorted(noted, key=lambda one: one.number), complete


def test_latency_is_what_queueing_by_hand_gives():
    noted, complete = drive(OneServer(0.5), [0.0, 0.1, 0.2])
    assert complete
    assert [one.latency_seconds for one in noted] == pytest.approx([0.5, 0.9, 1.3])
    assert [one.queue_seconds for one in noted] == pytest.approx([0.0, 0.4, 0.8])
    assert [one.completed for one in noted] == pytest.approx([0.5, 1.0, 1.5])
    assert [one.seed for one in noted] == [0, 1, 2]


def test_requests_leave_on_time_though_none_is_ever_answered():
    arrivals = constant_arrivals(10, 50)
    noted, complete = drive(OneServer(1e9), arrivals, timeout=3.0)
    assert complete
    assert [one.sent for one in noted] == pytest.approx(arrivals)
    assert {one.error for one in noted} == {"timeout"}
    assert [one.latency_seconds for one in noted] == pytest.approx([3.0] * 50)
    noted, _ = drive(OneServer(2.0), [0.0, 0.1], timeout=3.0)  # the second would end after 3.9 s
    assert [one.error for one in noted] == [None, "timeout"]


def test_a_stall_shows_in_every_request_that_was_meant_during_it():
    """Where a driver that waits for answers shows it in one: coordinated omission."""
    arrivals = constant_arrivals(10, 50)
    noted, _ = drive(OneServer(0.01, stall=(1.0, 3.0)), arrivals)
    during = [one for one in noted if 1.0 <= one.intended < 3.0]
    assert len(during) == 20
    for one in during:
        assert one.latency_seconds >= 3.0 - one.intended

    async def closed_loop():
        target, clock, latencies = OneServer(0.01, stall=(1.0, 3.0)), asyncio.get_running_loop().time, []
        for offset in arrivals:
            await asyncio.sleep(max(0.0, offset - clock()))
            sent = clock()
            await target.send({})
            latencies.append(clock() - sent)
        return latencies

    closed = run_in_virtual_time(closed_loop())
    assert sum(one > 0.1 for one in closed) == 1
    assert statistics.quantiles([one.latency_seconds for one in noted], n=10)[-1] > 1.5 > 0.1 > closed[25]


def test_a_driver_that_is_late_says_so_and_counts_from_the_intended_time():
    loops = []

    class Slow(OneServer):
        async def send(self, inputs):
            loops.append(asyncio.get_running_loop())
            if inputs["seed"] == 1:
                loops[0].clock.now += 0.7  # as work that blocks the loop
            return await super().send(inputs)

    noted, _ = drive(Slow(0.0), [0.0, 0.1, 0.2, 2.0])
    assert noted[2].sent - noted[2].intended == pytest.approx(0.6)
    assert noted[2].latency_seconds == pytest.approx(0.6)
    recording = Recording(requests=noted)
    assert any("itself sent 1 of 4 requests late, up to 0.60 s" in line for line in sentences_of(recording))
    recording.requests = [noted[0], noted[3]]
    assert not any("itself" in line for line in sentences_of(recording))


def test_stop_cancels_what_runs_sends_no_more_and_notes_all():
    target = OneServer(10.0)
    noted, complete = drive(target, constant_arrivals(1, 100), stop_at=4.5)
    assert not complete
    assert [one.intended for one in noted] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {one.error for one in noted} == {"canceled"}
    assert target.canceled == 5
    assert {one.completed for one in noted} == {4.5}


@pytest.mark.parametrize(("most", "count"), [(5.5, 5), (5.0, 5), (0.5, 1), (None, 20)])
def test_nothing_is_sent_that_may_exceed_the_ceiling(most, count):
    budget = Budget(price=1.0, most=most)
    noted, complete = drive(OneServer(1.0), constant_arrivals(0.1, 20), budget=budget)
    assert (len(noted), complete) == (count, count == 20)


def test_what_runs_counts_against_the_ceiling_as_well():
    noted, _ = drive(OneServer(1.0), [0.0] * 20, budget=Budget(price=1.0, most=5.5, expected=1.0))
    assert len(noted) == 5


def test_a_refusal_costs_nothing_and_an_error_of_our_own_is_no_result():
    class Refusing(OneServer):
        async def send(self, inputs):
            if self.seconds:
                raise RequestError("rate_limited", "too many", 3.0)
            raise ZeroDivisionError

    budget = Budget(price=1.0, most=1.0)
    noted, complete = drive(Refusing(1.0), constant_arrivals(1, 5), budget=budget)
    assert complete
    assert [(one.error, one.detail, one.retry_after) for one in noted] == [("rate_limited", "too many", 3.0)] * 5
    assert budget.seconds == 0
    with pytest.raises(ZeroDivisionError):
        drive(Refusing(0.0), [0.0])


def test_poisson_arrivals_are_the_same_for_a_seed_and_have_its_rate():
    arrivals = poisson_arrivals(4.0, 20_001, seed=3)
    assert arrivals == poisson_arrivals(4.0, 20_001, seed=3) != poisson_arrivals(4.0, 20_001, seed=4)
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    # An exponential gap's mean and deviation are both 0.25; of 20,000 they scatter by 0.25 / sqrt(20000) = 0.0018.
    assert statistics.mean(gaps) == pytest.approx(0.25, abs=0.008)
    assert statistics.stdev(gaps) == pytest.approx(0.25, abs=0.012)
    assert (arrivals[0], poisson_arrivals(1.0, 1, 0)) == (0.0, [0.0])


def test_a_trace_is_read(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("name,seconds\na,0\nb,0.5\nc,0.5\nd,7\n")
    assert read_trace(path, None) == [0.0, 0.5, 0.5, 7.0]
    assert read_trace(path, 2) == [0.0, 0.5]


def test_a_trace_of_too_many_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "trace.csv"
    path.write_text("seconds\n0\n1\n2\n")
    monkeypatch.setattr("easel.platforms.load.MAX_ARRIVALS", 2)
    assert read_trace(path, 2) == [0.0, 1.0]
    with pytest.raises(InputError, match="over 2 arrivals"):
        read_trace(path, None)


def test_signals_of_before_are_put_back():
    from easel.platforms.measure import stopped_by_signals

    async def work():
        with stopped_by_signals() as stopped:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopped.event.wait(), 10)
            return stopped.signum

    before = signal.signal(signal.SIGTERM, lambda signum, frame: None)
    try:
        mine = signal.getsignal(signal.SIGTERM)
        assert asyncio.run(work()) == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
