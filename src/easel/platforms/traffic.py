"""Arrivals of requests: from a file of them, or made from a description of a week."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from easel.errors import InputError
from easel.platforms.files import Strict, read_yaml
from easel.platforms.profile import Floats, Text
from easel.platforms.trace import DAY, MAX_DAYS, read_arrivals

HOUR = 3600.0
MONTH = 365.25 / 12 * DAY  # what costs are given for
CHUNK = 1 << 18  # arrivals at a time: the memory of a simulation does not grow with their number
MAX_REQUESTS = 10**9
Share = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Traffic:
    """Arrivals over `span_seconds`: `chunks(seed)` yields them in order, float64 seconds from the start.

    The seed has no effect on a file's. `rhythm` (168,): mean requests a second in each hour of the week, Monday first.
    """

    name: str
    span_seconds: float
    requests: float  # about, where they are drawn
    rhythm: Floats
    facts: str  # what it is, for people
    chunks: Callable[[int], Iterator[Floats]]


class Bursts(Strict):
    """So many times a day, at random times, `factor` times the rate for some minutes."""

    per_day: Annotated[float, Field(gt=0, le=1000)]
    factor: Annotated[float, Field(gt=1, le=10_000)]
    minutes: Annotated[float, Field(gt=0, le=1440)]


class Gaps(Strict):
    """How uneven the gaps between arrivals are: gamma distributed with a coefficient of variation (1: Poisson), or with
    a Pareto distribution's heavy tail (a smaller exponent is heavier)."""

    variation: Annotated[float, Field(ge=0.05, le=20)] = 1.0
    pareto: Annotated[float, Field(gt=1.05, le=10)] | None = None

    def draw(self, generator: np.random.Generator, count: int) -> Floats:
        """Return `count` gaps with the mean 1."""
        if self.pareto is not None:  # numpy's is Lomax, from 0, whose mean is 1 / (exponent - 1)
            return generator.pareto(self.pareto, count) * (self.pareto - 1)
        shape = 1 / self.variation**2
        return generator.exponential(1.0, count) if shape == 1 else generator.gamma(shape, 1 / shape, count)


class Week(Strict):
    """A description from which arrivals are made: a mean, a rhythm, and what disturbs it.

    `hours` and `weekdays` (Monday first) are weights of any scale; `week` has one for each of its 168 hours in place of
    both. `growth_per_month`: 0.1 is 10 % more each month.
    """

    name: Text
    requests_per_day: Annotated[float, Field(gt=0, le=1e8)]
    days: Annotated[float, Field(gt=0, le=MAX_DAYS)]
    hours: Annotated[list[Share], Field(min_length=24, max_length=24)] = [1.0] * 24
    weekdays: Annotated[list[Share], Field(min_length=7, max_length=7)] = [1.0] * 7
    week: Annotated[list[Share], Field(min_length=168, max_length=168)] | None = None
    growth_per_month: Annotated[float, Field(gt=-1, le=10)] = 0.0
    bursts: Bursts | None = None
    gaps: Gaps = Field(default_factory=Gaps)


def read_traffic(path: Path, days: float | None = None) -> Traffic:
    """Return the arrivals of a .csv or .parquet file, or those that a .yaml file describes. Raises InputError.

    A file of arrivals (see `trace`) spans the days to the end of the last arrival's day, or `days`.
    """
    if path.suffix in (".yaml", ".yml"):
        return make_traffic(read_yaml(path, Week))
    arrivals = read_arrivals(path)
    last = float(arrivals[-1])
    span = days * DAY if days else max(math.ceil(last / DAY), 1) * DAY
    if span < last:
        raise InputError(f"--days {days:g} ends before the last arrival of {path}, which is at {last / DAY:.2f} days.")
    facts = f"{arrivals.size:,} arrivals of {path.name}, taken as {span / DAY:g} days"
    cut = [arrivals[i : i + CHUNK] for i in range(0, arrivals.size, CHUNK)]
    return Traffic(path.stem, span, arrivals.size, rhythm_of(arrivals, span), facts, lambda seed: iter(cut))


def rhythm_of(arrivals: Floats, span: float) -> Floats:
    """Return the mean requests a second in each hour of the week, (168,); an hour that is not in the span has 0."""
    counts = np.bincount((arrivals // HOUR).astype(np.int64) % 168, minlength=168)
    seconds = np.zeros(168)
    hours = np.arange(int(np.ceil(span / HOUR)))
    np.add.at(seconds, hours % 168, np.minimum(span - hours * HOUR, HOUR))
    return np.divide(counts, seconds, out=np.zeros(168), where=seconds > 0)


def make_traffic(week: Week) -> Traffic:
    """Return arrivals that are drawn while they are read: a renewal process in the time of the cumulative rate."""
    rhythm = np.asarray(week.week) if week.week else np.outer(week.weekdays, week.hours).ravel()
    if rhythm.sum() <= 0:
        raise InputError(f"{week.name}: some hour and some weekday must have a weight above 0.")
    span = week.days * DAY
    rhythm = rhythm * (week.requests_per_day / DAY / rhythm.mean())
    total = cumulative_rate(week, rhythm, np.random.default_rng(0))[1][-1]
    if total > MAX_REQUESTS:
        raise InputError(f"{week.name}: {total:,.0f} requests are too many: at most {MAX_REQUESTS:,}.")

    def chunks(seed: int) -> Iterator[Floats]:
        generator = np.random.default_rng(seed)
        times, expected = cumulative_rate(week, rhythm, generator)
        reached = 0.0
        while reached < expected[-1]:
            arrived = reached + np.cumsum(week.gaps.draw(generator, CHUNK))
            reached = float(arrived[-1])
            yield np.interp(arrived[arrived < expected[-1]], expected, times)

    facts = f"about {total:,.0f} arrivals in {week.days:g} days, drawn from {week.name}"
    return Traffic(week.name, span, total, rhythm, facts, chunks)


def cumulative_rate(week: Week, rhythm: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return times and the expected number of arrivals until each; the rate is constant from one to the next."""
    span = week.days * DAY
    edges = np.arange(0, span, HOUR)
    starts = np.empty(0)
    if week.bursts:
        starts = np.sort(generator.uniform(0, span, generator.poisson(week.bursts.per_day * week.days)))
        edges = np.concatenate([edges, starts, np.minimum(starts + week.bursts.minutes * 60, span)])
    times = np.unique(np.append(edges, span))
    middle = (times[:-1] + times[1:]) / 2
    rate = rhythm[(middle // HOUR).astype(np.int64) % 168] * (1 + week.growth_per_month) ** (middle / MONTH)
    if week.bursts and starts.size:
        latest = np.searchsorted(starts, middle) - 1  # the burst that began last before it, -1: none
        inside = (latest >= 0) & (middle < starts[np.maximum(latest, 0)] + week.bursts.minutes * 60)
        rate = np.where(inside, rate * week.bursts.factor, rate)
    return times, np.concatenate([[0.0], np.cumsum(rate * np.diff(times))])
