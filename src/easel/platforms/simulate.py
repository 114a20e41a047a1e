"""Run one stream of requests through many fleets at once, each with its own rules."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from easel.platforms import kernel
from easel.platforms.fleet import BINS, BINS_BITS, DRAWS, FIRST_BIN, Fleet, Rules, make_fleet
from easel.platforms.profile import Figure, Floats, Profile
from easel.platforms.traffic import Traffic

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Case:
    """Rules, and how long an instance takes to be ready: `setup`'s seconds and, before them, `before_setup_seconds`."""

    rules: Rules
    setup: Figure
    before_setup_seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What happened in one fleet. Times are in seconds; `setup_s`, `idle_s` and `active_s` are sums over its instances.

    `latency` and `wait` are the 50th, 95th and 99th percentile of all requests that ended, within 0.4 %; a request's
    latency is from its arrival to the end of its run. `cold`: so many waited for the set-up of the instance that ran
    them. `latency_bins`: see `bin_edges`.
    """

    requests: int
    done: int
    cold: int
    failed: int
    refused: int
    repeated: int
    started: int
    lost: int
    setup_failed: int
    span_seconds: float
    setup_s: float
    idle_s: float
    active_s: float
    last_end: float  # when the last run ended
    mean_latency: float
    mean_wait: float
    latency: tuple[float, ...]
    wait: tuple[float, ...]
    latency_bins: Any

    @property
    def alive_s(self) -> float:
        return self.setup_s + self.idle_s + self.active_s

    @property
    def utilisation(self) -> float:
        """Return the share of the instances' time in which they ran requests, 0 to 1."""
        return self.active_s / self.alive_s if self.alive_s else 0.0

    @property
    def cold_share(self) -> float:
        return self.cold / self.done if self.done else 0.0


def simulate(
    traffic: Traffic,
    profile: Profile,
    cases: Sequence[Case],
    seed: int = 0,
    progress: Callable[[float], object] = lambda count: None,
) -> list[Outcome]:
    """Return what happens in each case. The same seed gives every case the same requests, run times and set-up times.

    The fleets run side by side, one on each core. `progress` is told how many requests went through all cases, a chunk
    at a time.
    """
    seeds = np.random.SeedSequence(seed).spawn(4)
    runs, failures, setups, firsts = map(np.random.default_rng, seeds)
    first = np.maximum(profile.first_run_seconds.draw(firsts, DRAWS), profile.run_seconds.draw(firsts, DRAWS))
    fleets = [prepare(case, profile, first, setups.bit_generator.seed_seq, seed) for case in cases]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in traffic.chunks(seed):
            takes = profile.run_seconds.draw(runs, chunk.size)
            fails = (failures.random(chunk.size) < (profile.run_failures.value or 0)).astype(np.int64)
            list(pool.map(kernel.run, fleets, repeat(chunk), repeat(takes), repeat(fails)))
            progress(chunk.size)
        list(pool.map(kernel.finish, fleets, repeat(traffic.span_seconds)))
    return [summarise(fleet, traffic.span_seconds) for fleet in fleets]


def prepare(case: Case, profile: Profile, first: Floats, seeds: Any, seed: int) -> Fleet:
    """Return a case's fleet, begun. The draws of set-up times are the same for each case."""
    setup = case.before_setup_seconds + case.setup.draw(np.random.default_rng(seeds), DRAWS)
    fleet = make_fleet(case.rules, setup, first, profile.setup_failures.value or 0.0, seed)
    kernel.begin(fleet)
    return fleet


def summarise(fleet: Fleet, span_seconds: float) -> Outcome:
    """Return a finished fleet's sums and percentiles."""
    counts = ("requests", "done", "cold", "failed", "refused", "repeated", "started", "lost", "setup_failed")
    done = max(int(fleet["done"]), 1)
    return Outcome(
        **{name: int(fleet[name]) for name in counts},
        span_seconds=span_seconds,
        setup_s=float(fleet["setup_s"]),
        idle_s=float(fleet["idle_s"]),
        active_s=float(fleet["active_s"]),
        last_end=float(fleet["last_end"]),
        mean_latency=float(fleet["latency_s"]) / done,
        mean_wait=float(fleet["wait_s"]) / done,
        latency=percentiles(fleet["latency_bins"]),
        wait=percentiles(fleet["wait_bins"]),
        latency_bins=fleet["latency_bins"].copy(),
    )


def bin_edges() -> Floats:
    """Return the BINS + 1 edges of the kernel's bins in seconds; what is below the first is in its bin as well."""
    return (np.arange(FIRST_BIN, FIRST_BIN + BINS + 1) << (52 - BINS_BITS)).view(np.float64)


def percentiles(bins: Any, quantiles: Sequence[float] = QUANTILES) -> tuple[float, ...]:
    """Return quantiles of times from their counts in the kernel's bins, evenly spread within each; 0 without any."""
    total = bins.sum()
    if not total:
        return (0.0,) * len(quantiles)
    until = np.concatenate([[0], np.cumsum(bins)])
    edges = bin_edges()
    edges[0] = 0.0  # a request that did not wait
    return tuple(float(np.interp(quantile * total, until, edges)) for quantile in quantiles)
