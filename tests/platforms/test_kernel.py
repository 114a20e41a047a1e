"""The compiled simulation against simpy, event for event, against closed forms, and against what must always hold."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel.errors import InputError
from easel.platforms import fleet as fleets
from easel.platforms import kernel
from easel.platforms.fleet import DRAWS, Rules, make_fleet
from easel.platforms.simulate import percentiles
from tests.platforms.simpy_fleet import SimpyFleet

SOURCES = Path(fleets.__file__).parent


def play(rules, arrivals, runs, setup, first, horizon=0.0, **options):
    fleet = make_fleet(rules, setup, first, log_rows=len(arrivals) + 1000, **options)
    kernel.begin(fleet)
    kernel.run(fleet, arrivals, runs, np.zeros(len(arrivals), np.int64))
    kernel.finish(fleet, horizon)
    return fleet


def drawn(seed, count, rate=1.0):
    """Arrivals that come in bursts, run times, set-up times and first run times."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate, count) * generator.choice([0.2, 0.2, 0.2, 5.0], count)
    return (
        np.cumsum(gaps),
        generator.lognormal(0, 0.7, count),
        generator.uniform(2, 9, DRAWS),
        generator.uniform(1, 4, DRAWS),
    )


CASES = [
    Rules(max_instances=1, idle_seconds=3.0),
    Rules(max_instances=5, idle_seconds=2.0),
    Rules(min_instances=2, max_instances=6, idle_seconds=1.0),
    Rules(max_instances=8, idle_seconds=1.5, buffer=2),
    Rules(min_instances=1, max_instances=4, idle_seconds=4.0, buffer=1),
    Rules(max_instances=3, idle_seconds=2.0, slots=4),
    Rules(min_instances=1, max_instances=9, idle_seconds=0.5, slots=2, buffer=1),
    Rules(max_instances=20, idle_seconds=2.0, waiting_per_slot=3),
    Rules(max_instances=4, idle_seconds=2.0, slots=3, waiting_per_slot=4),
    Rules(min_instances=3, max_instances=3, idle_seconds=0.25),
    Rules(max_instances=6, idle_seconds=2.0, losses_per_second=0.05),
    Rules(min_instances=2, max_instances=5, idle_seconds=3.0, slots=3, losses_per_second=0.08, buffer=1),
]


@pytest.mark.parametrize("setup_failures", [0.0, 0.2])
@pytest.mark.parametrize("rules", CASES, ids=str)
def test_each_event_is_that_of_simpy(rules, setup_failures):
    arrivals, runs, setup, first = drawn(7, 1500)
    fleet = play(rules, arrivals, runs, setup, first, horizon=3000.0, setup_failures=setup_failures, seed=3)
    losses = list(zip(fleet["loss_gaps"], fleet["loss_places"], strict=True)) if rules.losses_per_second else ()
    other = SimpyFleet(rules, arrivals, runs, setup, first, fleet["setup_fails"], losses)
    other.play(3000.0)
    mine = fleet["requests_log"][:1500]
    theirs = np.array([other.done[index] for index in range(1500)])
    for column, name in enumerate(("arrival", "begin", "end", "instance", "met_cold")):
        np.testing.assert_allclose(mine[name], theirs[:, column], rtol=0, atol=1e-6, err_msg=name)
    started = len(other.ended)
    assert started == fleet["started"] > 0
    lives = fleet["instances_log"][:started]
    np.testing.assert_allclose(lives["born"], [one.born for one in other.ended], atol=1e-6)
    np.testing.assert_allclose(lives["end"], [one.end for one in other.ended], atol=1e-6)
    assert (fleet["lost"] > 0) == (rules.losses_per_second > 0)
    assert (fleet["setup_failed"] > 0) == (setup_failures > 0 and started > rules.min_instances)


def erlang_c(servers, load):
    """Return the probability that a request waits in M/M/c (Erlang 1917): load = arrival rate * mean run time."""
    terms = [load**n / math.factorial(n) for n in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 2.0), (10, 8.5)])
def test_the_wait_in_m_m_c(servers, load):
    """Mean wait C(c, a) / (c - a) for a mean run time of 1."""
    fleet = queue_of(servers, load, lambda generator, count: generator.exponential(1.0, count), 40)
    assert fleet["wait_s"] / fleet["done"] == pytest.approx(erlang_c(servers, load) / (servers - load), rel=0.01)
    waited = 1 - fleet["wait_bins"][0] / fleet["done"]
    assert waited == pytest.approx(erlang_c(servers, load), rel=0.01)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_wait_in_m_d_1(load):
    """Mean wait load / (2 (1 - load)) (Pollaczek and Khinchine) for run times of 1."""
    fleet = queue_of(1, load, lambda generator, count: np.ones(count))
    assert fleet["wait_s"] / fleet["done"] == pytest.approx(load / (2 * (1 - load)), rel=0.01)
    assert fleet["active_s"] / fleet["clock"] == pytest.approx(load, rel=0.01)


def queue_of(servers, load, draw, chunks=10, count=500_000):
    generator = np.random.default_rng(11)
    ones = draw(generator, DRAWS)
    fleet = make_fleet(Rules(min_instances=servers, max_instances=servers), ones, ones)
    kernel.begin(fleet)
    for _ in range(chunks):
        arrivals = fleet["clock"] + np.cumsum(generator.exponential(1 / load, count))
        kernel.run(fleet, arrivals, draw(generator, count), np.zeros(count, np.int64))
    kernel.finish(fleet, 0.0)
    assert fleet["done"] == chunks * count
    return fleet


@st.composite
def some_rules(draw):
    most = draw(st.integers(1, 6))
    return Rules(
        min_instances=draw(st.integers(0, most)),
        max_instances=most,
        buffer=draw(st.integers(0, 2)),
        slots=draw(st.integers(1, 3)),
        idle_seconds=draw(st.floats(0, 20)),
        waiting_per_slot=draw(st.integers(1, 3)),
        losses_per_second=draw(st.sampled_from([0.0, 0.02])),
    )


@settings(max_examples=150, deadline=None)
@given(rules=some_rules(), seed=st.integers(0, 2**31), rate=st.floats(0.05, 5), failures=st.sampled_from([0.0, 0.1]))
def test_seconds_tile_the_lives_of_the_instances_and_no_request_is_lost(rules, seed, rate, failures):
    arrivals, runs, setup, first = drawn(seed, 400, rate)
    fleet = play(rules, arrivals, runs, setup, first, setup_failures=failures, seed=seed)
    assert fleet["requests"] == fleet["done"] == 400
    lives = fleet["instances_log"][: fleet["started"]]
    assert (lives["end"] >= lives["born"]).all()
    total = (lives["end"] - lives["born"]).sum()
    assert fleet["setup_s"] + fleet["idle_s"] + fleet["active_s"] == pytest.approx(total, rel=1e-9, abs=1e-6)
    requests = fleet["requests_log"][:400]
    assert (requests["begin"] >= requests["arrival"]).all()
    assert fleet["latency_s"] == pytest.approx((requests["end"] - requests["arrival"]).sum())
    assert fleet["latency_bins"].sum() == fleet["wait_bins"].sum() == 400
    assert fleet["alive"] == fleet["running"] == fleet["queued"] == fleet["starting"] == 0
    if not rules.losses_per_second:  # first come, first served
        assert (np.diff(requests["begin"]) >= 0).all()
    for instance in np.unique(requests["instance"]):
        mine = requests[requests["instance"] == instance]
        moments = np.concatenate([mine["begin"], mine["end"] - 1e-9])
        assert max(((mine["begin"] <= at) & (mine["end"] > at)).sum() for at in moments) <= rules.slots


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rate=st.floats(0.2, 4),
    fixed=st.booleans(),
    most=st.integers(1, 5),
    more=st.integers(1, 3),
    slots=st.integers(1, 2),
)
def test_a_larger_maximum_never_lengthens_the_queue(seed, rate, fixed, most, more, slots):
    """Where instances stay and all runs take as long: else an instance more may end early and be missed later."""
    arrivals, _, _, _ = drawn(seed, 300, rate)
    runs, setup = np.full(300, 2.0), np.full(DRAWS, 5.0)
    waits = [
        play(
            Rules(count if fixed else 0, count, slots=slots, idle_seconds=1e9),
            arrivals,
            runs,
            setup,
            np.full(DRAWS, 2.0),
        )["requests_log"]["begin"][:300]
        for count in (most, most + more)
    ]
    assert (waits[1] <= waits[0] + 1e-9).all()


def test_requests_beyond_the_limit_of_the_queue_are_refused_and_counted():
    arrivals, ones = np.arange(20) / 1000, np.ones(DRAWS)
    fleet = play(Rules(max_instances=1, max_waiting=5), arrivals, np.ones(20), ones, ones)
    assert (fleet["refused"], fleet["done"], fleet["requests"]) == (15, 5, 20)


def test_percentiles_are_within_half_a_percent():
    times = np.random.default_rng(1).lognormal(0, 2, 100_000)
    bins = np.zeros(fleets.BINS, np.int64)
    for seconds in times:
        bins[kernel.bin_of(seconds)] += 1
    assert percentiles(bins) == pytest.approx(np.percentile(times, [50, 95, 99]), rel=0.005)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_instances": 0},
        {"min_instances": 3, "max_instances": 2},
        {"max_instances": 5000},
        {"slots": 0},
        {"max_instances": 2000, "slots": 64},
        {"idle_seconds": -1.0},
        {"waiting_per_slot": 0},
        {"max_waiting": 10**9},
    ],
)
def test_rules_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        Rules(**wrong)


def test_what_numba_compiled_is_renewed_when_a_file_that_it_used_changes():
    content = b"".join((SOURCES / name).read_bytes() for name in ("fleet.py", "structures.py"))
    assert hashlib.sha256(content).hexdigest()[:16] == kernel.SOURCES
