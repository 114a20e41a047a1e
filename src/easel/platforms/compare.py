"""Which differences between two measurements are real, and how many requests the others would need."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from easel.platforms.percentiles import correlation_time
from easel.platforms.profile import Floats
from easel.platforms.results import Recording
from easel.platforms.summary import cold_starts, latencies, run_times

ROUNDS = 2000  # of each resampling: a p-value near 0.05 is right to 0.01
LEVEL = 0.05
POWER = 0.8  # of so many measurements of the size that is said to be needed, a difference of this size is found
MAX_VALUES = 2_000_000  # in one table of resampled values: 16 MB
Table = np.ndarray[tuple[int, int], np.dtype[np.float64]]


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
    statistic: Callable[[Any], Any]  # over the last axis


def median(values: Any) -> Any:
    return np.median(values, axis=-1)


def p95(values: Any) -> Any:
    return np.quantile(values, 0.95, axis=-1)


def mean(values: Any) -> Any:
    return np.mean(values, axis=-1)


def warm_latencies(recording: Recording) -> list[float]:
    return latencies(recording.of("warm"))


def warm_run_times(recording: Recording) -> list[float]:
    return run_times(recording.of("warm"))


def failures(recording: Recording) -> list[float]:
    return [float(one.error is not None) for one in recording.of("warm")]


METRICS = (
    Metric("latency, median", "ms", 6, warm_latencies, median),
    Metric("latency, p95", "ms", 20, warm_latencies, p95),
    Metric("run time, median", "ms", 6, warm_run_times, median),
    Metric("error rate", "%", 6, failures, mean),
    Metric("cold start, mean", "ms", 2, cold_starts, mean),  # of few values a mean tells more than a median
)


def compare(a: Recording, b: Recording, seed: int = 0) -> list[Difference]:
    """Return the difference in each metric of which both have enough values.

    Interval: percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). p:
    permutation test (chapter 15), corrected after Holm (A Simple Sequentially Rejective Multiple Test Procedure, 1979).
    Both draw whole blocks of consecutive requests where these depend on one another (Kuensch, The Jackknife and the
    Bootstrap for General Stationary Observations, 1989): in a queue one slow request slows those behind it.
    """
    generator = np.random.default_rng(seed)
    enough = [one for one in METRICS if min(len(one.values(a)), len(one.values(b))) >= one.least]
    found = [
        difference_of(
            one, np.asarray(one.values(a), np.float64), np.asarray(one.values(b), np.float64), len(enough), generator
        )
        for one in enough
    ]
    return [
        Difference(**(asdict(one) | {"p": p})) for one, p in zip(found, holm([one.p for one in found]), strict=True)
    ]


def difference_of(metric: Metric, a: Floats, b: Floats, metrics: int, generator: np.random.Generator) -> Difference:
    """Return the difference, its p not yet corrected; `metrics`: how many there are in all."""
    scale = 1000 if metric.unit == "ms" else 100
    length = max(block_length(a), block_length(b))
    of = metric.statistic
    observed = float(of(b) - of(a))
    pooled, resampled, extreme = np.concatenate([a, b]), [], 0
    blocks = np.concatenate([np.arange(len(a)) // length, len(a) + np.arange(len(b)) // length])
    for rounds in chunks(len(pooled)):
        resampled.append(of(resample(b, length, rounds, generator)) - of(resample(a, length, rounds, generator)))
        keys = generator.random((rounds, len(pooled)))[:, blocks]  # the same for a whole block
        mixed = pooled[np.argsort(keys, axis=1, kind="stable")]
        found = of(mixed[:, len(a) :]) - of(mixed[:, : len(a)])
        extreme += int(np.sum(np.abs(found) >= abs(observed) - 1e-12))
    low, high = (float(end) for end in np.quantile(np.concatenate(resampled), [0.025, 0.975]))
    half = (high - low) / 2
    needed = None
    if observed and half:
        # The interval's half is 1.96 standard errors, which shrink with the root of the number.
        normal = NormalDist()
        errors = normal.inv_cdf(1 - LEVEL / 2 / metrics) + normal.inv_cdf(POWER)
        needed = math.ceil(min(len(a), len(b)) * (half / 1.96 * errors / abs(observed)) ** 2)
    return Difference(
        metric=metric.name,
        unit=metric.unit,
        a=float(of(a)) * scale,
        b=float(of(b)) * scale,
        difference=observed * scale,
        low=low * scale,
        high=high * scale,
        p=(1 + extreme) / (1 + ROUNDS),  # never 0: the observed order is one of all (Phipson and Smyth, 2010)
        count_a=len(a),
        count_b=len(b),
        needed=needed,
    )


def chunks(count: int) -> list[int]:
    """Return how many rounds to draw at once, of ROUNDS, so that a table of `count` values each stays small."""
    most = max(1, MAX_VALUES // count)
    return [min(most, ROUNDS - begun) for begun in range(0, ROUNDS, most)]


def block_length(values: Floats) -> int:
    """Return how many consecutive values are drawn together: 1 where they are independent."""
    time = correlation_time(values)
    return 1 if time <= 1 else min(len(values), math.ceil(2 * time))


def resample(values: Floats, length: int, rounds: int, generator: np.random.Generator) -> Table:
    """Return rows of as many values, drawn with replacement in blocks, which go on at the beginning after the end."""
    count = len(values)
    starts = generator.integers(count, size=(rounds, math.ceil(count / length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(rounds, -1)[:, :count] % count
    drawn: Table = values[places]
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
