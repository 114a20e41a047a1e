"""What a healthcheck answers: real threads, real asynchronous exceptions, a clock that is set by hand."""

import ctypes
import linecache
import sys
import threading
import time

import pytest

from easel.inference.health import STUCK_S, Health
from tests.server.calls import wait_for


class Cancelation(BaseException):
    """As Cog's."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class DeadOnArrival(threading.Thread):
    """A thread that never reports its start, as one that was killed before it ran."""

    def _bootstrap(self) -> None:
        pass


class Prediction(threading.Thread):
    """Waits in C, where no exception strikes, until it is let go."""

    def __init__(self, health: Health) -> None:
        super().__init__(daemon=True)
        self.health, self.inside, self.gate, self.ended = health, threading.Event(), threading.Lock(), ""
        self.gate.acquire()
        self.start()
        assert self.inside.wait(10)
        wait_for(self.is_at_the_gate, "it never came to the gate")
        time.sleep(0.1)  # until it waits in C, which nothing shows from outside

    def is_at_the_gate(self) -> bool:
        """On a slow machine it may still be some lines before, where an exception would strike."""
        line = sys._current_frames()[self.ident].f_lineno
        return "self.gate.acquire()" in linecache.getline(__file__, line)

    def run(self) -> None:
        try:
            with self.health.prediction():
                self.inside.set()
                self.gate.acquire()
            self.ended = "succeeded"
        except Cancelation:
            self.ended = "canceled"

    def cancel(self) -> None:
        assert (
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(Cancelation)) == 1
        )

    def let_go(self) -> str:
        self.gate.release()
        self.join(10)
        return self.ended


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock) -> Health:
    return Health(Cancelation, clock)


def test_a_cancelled_prediction_that_does_not_end_is_said_once_and_over_with_it(health, clock, capsys):
    prediction = Prediction(health)
    prediction.cancel()
    assert health.is_well()
    clock.now = STUCK_S - 1
    assert health.is_well()
    clock.now = STUCK_S
    assert not health.is_well()
    assert not health.is_well()
    assert capsys.readouterr().err == (
        "unhealthy: for 30 s a cancelled prediction has not ended. Restart this server.\n"
    )
    assert prediction.let_go() == "canceled"
    assert health.is_well()


def test_what_counts_begins_with_the_cancel(health, clock):
    prediction = Prediction(health)
    assert health.is_well()
    clock.now = 1000
    assert health.is_well()
    prediction.cancel()
    assert health.is_well()
    clock.now += STUCK_S - 1
    assert health.is_well()
    clock.now += 1
    assert not health.is_well()
    assert prediction.let_go() == "canceled"


def test_a_long_prediction_is_well_also_after_cancelled_ones(health, clock):
    """Exceptions that outlive their prediction are no cancel of the next, kept or let go meanwhile."""
    kept = [Cancelation(), Cancelation()]
    prediction = Prediction(health)
    for _ in range(3):
        assert health.is_well()
        clock.now += STUCK_S
        kept[:1] = []
    prediction.cancel()  # seen although fewer references are left than there were
    assert health.is_well()
    clock.now += STUCK_S
    assert not health.is_well()
    assert prediction.let_go() == "canceled"


def test_each_cancelled_prediction_has_its_own_30_s(health, clock):
    for _ in range(3):
        prediction = Prediction(health)
        prediction.cancel()
        assert health.is_well()
        assert prediction.let_go() == "canceled"
        clock.now += STUCK_S


def test_a_thread_that_never_starts_is_said(health, clock, capsys):
    child = DeadOnArrival(daemon=True)
    parent = threading.Thread(target=child.start, daemon=True)
    parent.start()
    wait_for(lambda: child in waited_for(health), "the parent never waited")
    clock.now = STUCK_S
    assert not health.is_well()
    assert "for 30 s a thread has not started" in capsys.readouterr().err
    child._started.set()
    parent.join(10)
    assert health.is_well()


def waited_for(health: Health) -> dict:
    assert health.is_well()
    return health._since


def test_threads_that_start_one_after_another_are_well(health, clock):
    for _ in range(3):
        child = DeadOnArrival(daemon=True)
        parent = threading.Thread(target=child.start, daemon=True)
        parent.start()
        wait_for(lambda child=child: child in waited_for(health), "the parent never waited")
        child._started.set()
        parent.join(10)
        clock.now += STUCK_S
