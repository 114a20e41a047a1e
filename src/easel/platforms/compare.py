"""Which differences between two measurements are real, and how many requests the others would need."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from easel.platforms.percentiles import correlation_time
from easel.platforms.profile import Floats
from easel.platforms.results import Recording
from easel.platforms.summary import cold_starts, latencies, run_times

ROUNDS = 2000  # of each resampling: a p-value near 0.05 is right to 0.01
LEVEL = 0.05
POWER = ((1.96 + 0.84) / 1.96) ** 2  # so many times the requests find a difference four times in five
Statistic = Callable[[Floats], float]


@dataclass(frozen=True)
class Difference:
    """B minus A in one metric, with its 95 % interval; `p` is corrected for the number of metrics (Holm)."""

    metric: str
    unit: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    count_a: int
    count_b: int
    needed: int | None  # requests for each, where the difference is not clear

    @property
    def real(self) -> bool:
        return self.p <= LEVEL and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str  # ms or %
    least: int  # values that either side must have
    values: Callable[[Recording], Sequence[float]]
    statistic: Statistic


def median(values: Floats) -> float:
    return float(np.median(values))


def p95(values: Floats) -> float:
    return float(np.quantile(values, 0.95))


def mean(values: Floats) -> float:
    return float(np.mean(values))


def failures(recording: Recording) -> list[float]:
    return [float(one.error is not None) for one in recording.of("warm")]


METRICS = (
    Metric("latency, median", "ms", 6, lambda one: latencies(one.of("warm")), median),
    Metric("latency, p95", "ms", 20, lambda one: latencies(one.of("warm")), p95),
    Metric("run time, median", "ms", 6, lambda one: run_times(one.of("warm")), median),
    Metric("error rate", "%", 6, failures, mean),
    Metric("cold start, median", "ms", 2, cold_starts, median),
)


def compare(a: Recording, b: Recording, seed: int = 0) -> list[Difference]:
    """Return the difference in each metric of which both have enough values.

    Interval: percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). p:
    permutation test (chapter 15), corrected after Holm (A Simple Sequentially Rejective Multiple Test Procedure, 1979).
    Both draw whole blocks of consecutive requests where these depend on one another (Kuensch, The Jackknife and the
    Bootstrap for General Stationary Observations, 1989): in a queue one slow request slows those behind it.
    """
    generator = np.random.default_rng(seed)
    found = []
    for metric in METRICS:
        sides = [np.asarray(metric.values(one), np.float64) for one in (a, b)]
        if min(map(len, sides)) >= metric.least:
            found.append(difference_of(metric, sides[0], sides[1], generator))
    return [
        Difference(**(asdict(one) | {"p": p})) for one, p in zip(found, holm([one.p for one in found]), strict=True)
    ]


def difference_of(metric: Metric, a: Floats, b: Floats, generator: np.random.Generator) -> Difference:
    scale = 1000 if metric.unit == "ms" else 100
    length = max(block_length(a), block_length(b))
    of = metric.statistic
    observed = of(b) - of(a)
    resampled = [of(resample(b, length, generator)) - of(resample(a, length, generator)) for _ in range(ROUNDS)]
    low, high = (float(end) for end in np.quantile(resampled, [0.025, 0.975]))
    blocks = [*blocks_of(a, length), *blocks_of(b, length)]
    count_a = len(blocks_of(a, length))
    extreme = 0
    for _ in range(ROUNDS):
        order = generator.permutation(len(blocks))
        mixed_a = np.concatenate([blocks[one] for one in order[:count_a]])
        mixed_b = np.concatenate([blocks[one] for one in order[count_a:]])
        extreme += abs(of(mixed_b) - of(mixed_a)) >= abs(observed) - 1e-12
    half = (high - low) / 2
    needed = None
    if observed and half:
        needed = math.ceil(min(len(a), len(b)) * max(1.0, (half / abs(observed)) ** 2 * POWER))
    return Difference(
        metric=metric.name,
        unit=metric.unit,
        a=of(a) * scale,
        b=of(b) * scale,
        difference=observed * scale,
        low=low * scale,
        high=high * scale,
        p=(1 + extreme) / (1 + ROUNDS),  # never 0: the observed order is one of all (Phipson and Smyth, 2010)
        count_a=len(a),
        count_b=len(b),
        needed=needed,
    )


def block_length(values: Floats) -> int:
    """Return how many consecutive values are drawn together: 1 where they are independent."""
    time = correlation_time(values)
    return 1 if time <= 1 else min(len(values), math.ceil(2 * time))


def blocks_of(values: Floats, length: int) -> list[Floats]:
    return [values[start : start + length] for start in range(0, len(values), length)]


def resample(values: Floats, length: int, generator: np.random.Generator) -> Floats:
    """Return as many values, drawn with replacement in blocks, whose last may go on at the beginning."""
    count = len(values)
    starts = generator.integers(count, size=math.ceil(count / length))
    places = (starts[:, None] + np.arange(length)[None, :]).ravel()[:count] % count
    drawn: Floats = values[places]
    return drawn


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number."""
    order = sorted(range(len(p_values)), key=lambda one: p_values[one])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, one in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[one]))
        corrected[one] = largest
    return corrected


def sentence_of(one: Difference) -> str:
    """Return a difference in words."""
    values = f"{one.a:,.4g} and {one.b:,.4g} {one.unit}"
    if one.real:
        worse = "higher" if one.unit == "%" else "slower"
        better = "lower" if one.unit == "%" else "faster"
        return (
            f"{one.metric}: B is {worse if one.difference > 0 else better}: {one.difference:+,.4g} {one.unit} "
            f"({one.low:+,.4g} to {one.high:+,.4g}), {values}; p = {one.p:.3g}."
        )
    counts = f"{one.count_a} and {one.count_b} values"
    if one.needed is None:
        return f"{one.metric}: no difference was seen with {counts} ({values})."
    return (
        f"{one.metric}: no difference can be told with {counts} ({values}; {one.low:+,.4g} to {one.high:+,.4g}); "
        f"about {two_digits(max(one.needed, one.count_a + 1)):,} each would be needed for one of "
        f"{abs(one.difference):,.4g} {one.unit}."
    )


def two_digits(count: int) -> int:
    return round(count, 2 - len(str(count))) if count >= 100 else count


def warnings_of(a: Recording, b: Recording) -> list[str]:
    """Return what makes two measurements hard to compare."""
    if not a.run or not b.run:
        return []
    warnings = []
    rates = a.run.rate or 0.0, b.run.rate or 0.0
    if a.run.schedule != b.run.schedule or abs(rates[0] - rates[1]) > 0.01 * max(rates):
        warnings.append(
            f"The load differs ({a.run.schedule}, {rates[0]:.3g}/s; {b.run.schedule}, {rates[1]:.3g}/s): latencies "
            "differ by that as well. Measure both with the same --rate and --seed, or look at the run time."
        )
    if a.run.inputs != b.run.inputs:
        warnings.append("The inputs differ.")
    return warnings


def comparison_json(differences: Sequence[Difference]) -> dict[str, Any]:
    return {one.metric: asdict(one) | {"real": one.real} for one in differences}
