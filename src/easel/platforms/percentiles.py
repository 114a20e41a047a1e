"""Percentiles of measured times, how sure they are, and for how many independent values they count."""

import math
from collections.abc import Sequence

import numpy as np
from hdrh.histogram import HdrHistogram

from easel.platforms.profile import Floats

DIGITS = 3  # significant: a percentile is right to 0.1 %
LONGEST_US = 100_000_000_000  # a day and more, in microseconds
Interval = tuple[float | None, float | None]


def percentiles(values: Sequence[float], wanted: Sequence[float]) -> list[float | None]:
    """Return percentiles of seconds by HdrHistogram: the smallest value that so many percent do not exceed.

    None where fewer than 1 / (1 - p) values are there: a p99 of 20 values would be their maximum by another name.
    """
    histogram = HdrHistogram(1, LONGEST_US, DIGITS)
    for value in values:
        histogram.record_value(min(LONGEST_US, max(1, round(value * 1e6))))
    count, found = len(values), list[float | None]()
    for one in wanted:
        rank = math.ceil(one / 100 * count - 1e-9)  # this package rounds ranks; HdrHistogram for Java takes the next
        enough = count * (100 - one) >= 100
        found.append(histogram.get_value_at_percentile(100 * rank / count) / 1e6 if enough else None)
    return found


def percentile_interval(values: Sequence[float], percent: float, confidence: float = 0.95) -> Interval:
    """Return the order statistics that hold a percentile with at least this confidence, None for an end that is beyond.

    No distribution is assumed: the number of values below the percentile is binomial (Hahn and Meeker, Statistical
    Intervals, 1991, section 5.2). Requests that wait for one another are no independent values: the ranks are those of
    so many values as the sample is worth.
    """
    if not len(values):
        return None, None
    ordered, p, tail = sorted(values), percent / 100, (1 - confidence) / 2
    count = max(1, int(len(values) / correlation_time(values)))
    cumulative = np.cumsum(binomial(count, p))  # P(at most k below)
    low = int(np.searchsorted(cumulative, tail, side="right"))  # P(at most low - 1) <= tail
    high = int(np.searchsorted(cumulative, 1 - tail)) + 1  # P(at least high) <= tail
    scale = len(values) / count
    low_rank, high_rank = math.floor(low * scale), math.ceil(high * scale)
    return (
        ordered[low_rank - 1] if low >= 1 else None,
        ordered[min(high_rank, len(values)) - 1] if high <= count else None,
    )


def binomial(count: int, p: float) -> Floats:
    """Return the probabilities of 0 to `count` successes."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    k = np.arange(count + 1)
    logs = log_factorial[-1] - log_factorial - log_factorial[::-1] + k * math.log(p) + (count - k) * math.log1p(-p)
    probabilities: Floats = np.exp(logs)
    return probabilities


def correlation_time(values: Sequence[float] | Floats) -> float:
    """Return how many consecutive values say as much as one independent one, from 1 to their number.

    1 + 2 x the sum of the autocorrelations up to the first below 2 / sqrt(n), which is what chance makes of
    independent ones (Sokal, Monte Carlo Methods in Statistical Mechanics, 1996, section 3, with a fixed cut).
    """
    data = np.asarray(values, np.float64)
    count = len(data)
    centred = data - data.mean() if count else data
    power = float(centred @ centred)
    if count < 3 or power == 0.0:
        return 1.0
    time, least = 1.0, 2 / math.sqrt(count)
    for lag in range(1, count - 1):
        correlation = float(centred[:-lag] @ centred[lag:]) / power
        if correlation < least:
            break
        time += 2 * correlation
    return min(time, float(count))
