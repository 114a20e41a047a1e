"""Percentiles against numpy, intervals against hand-worked ranks and by their coverage."""

import math

import numpy as np
import pytest

from easel.platforms.percentiles import binomial, correlation_time, percentile_interval, percentiles
from easel.platforms.results import Recording, Request
from easel.platforms.summary import rows_of, table_of

WANTED = (50, 75, 90, 95, 99)


def request(number, latency, **others):
    values = {"phase": "warm", "intended": float(number), "sent": float(number), "completed": number + latency}
    return Request(number=number, latency_seconds=latency, **{"status": "succeeded", **values, **others})


@pytest.mark.parametrize("count", [100, 101, 137, 1000, 5000])
def test_percentiles_are_numpys_to_a_thousandth(count):
    values = np.random.default_rng(count).lognormal(0, 1, count)
    expected = np.percentile(values, WANTED, method="inverted_cdf")
    np.testing.assert_allclose(percentiles(values.tolist(), WANTED), expected, rtol=1.1e-3)


def test_a_percentile_of_too_few_values_is_none():
    assert percentiles([1.0] * 99, [99]) == [None]
    assert percentiles([1.0] * 100, [99]) == [pytest.approx(1.0, rel=1e-3)]
    assert percentiles([1.0] * 19, [95, 90, 50])[0] is None
    assert percentiles([1.0], WANTED) == [None] * 5
    assert percentiles([], WANTED) == [None] * 5


def test_the_median_of_a_hundred_lies_between_the_40th_and_the_61st():
    """P(40 <= B <= 60) = 0.9648 for B of 100 fair coins: the interval of textbooks."""
    values = [float(one) for one in np.random.default_rng(1).permutation(np.arange(1, 101))]
    assert correlation_time(values) == 1.0
    assert percentile_interval(values, 50) == (40.0, 61.0)
    assert binomial(100, 0.5)[40:61].sum() == pytest.approx(0.9648, abs=1e-4)


def test_an_end_beyond_the_sample_is_none():
    """All of n values are below the p95 with probability 0.95^n, at most 0.025 from n = 72."""
    for count, there in ((71, False), (72, True)):
        values = np.random.default_rng(2).permutation(np.arange(count)).astype(float).tolist()
        assert correlation_time(values) == 1.0
        low, high = percentile_interval(values, 95)
        assert (low is not None, high is not None) == (True, there)
    assert percentile_interval([], 50) == percentile_interval([1.0], 50) == (None, None)


def test_binomial_probabilities_are_those_of_the_formula():
    expected = [math.comb(9, k) * 0.3**k * 0.7 ** (9 - k) for k in range(10)]
    np.testing.assert_allclose(binomial(9, 0.3), expected, rtol=1e-12)


def autoregressive(generator, count, factor):
    noise, values = generator.normal(size=count + 200), [0.0]
    for one in noise:
        values.append(factor * values[-1] + one)
    return values[-count:]


def test_correlation_time_is_that_of_an_autoregression():
    """(1 + f) / (1 - f) for x' = f x + noise: 3 for one half, 9 for 0.8."""
    generator = np.random.default_rng(5)
    for factor, expected in ((0.0, 1), (0.5, 3), (0.8, 9)):
        times = [correlation_time(autoregressive(generator, 2000, factor)) for _ in range(20)]
        assert np.mean(times) == pytest.approx(expected, rel=0.2)
    assert correlation_time([1.0] * 50) == correlation_time([1.0, 2.0]) == correlation_time([]) == 1.0


@pytest.mark.parametrize(("percent", "factor"), [(50, 0.0), (90, 0.0), (50, 0.8), (90, 0.8)])
def test_intervals_hold_the_true_percentile_as_often_as_they_say(percent, factor):
    """Of 200 runs at least 182, 2.6 deviations below 0.95 x 200. Ranks as if all were independent fail for 0.8."""
    generator = np.random.default_rng(percent)
    true = {50: 0.0, 90: 1.2816}[percent] / math.sqrt(1 - factor**2)
    held = 0
    for _ in range(200):
        low, high = percentile_interval(autoregressive(generator, 300, factor), percent)
        held += low is not None and low <= true and (high is None or true <= high)
    assert held >= 182


def test_the_table_has_aiperfs_rows_and_columns():
    requests = [request(k, 0.1 + k / 1000, run_seconds=0.1, queue_seconds=k / 1000) for k in range(100)]
    requests += [request(100, 30.0, status="timeout", error="timeout"), request(101, 9.0, status="x", error="failed")]
    rows = {row.name: row for row in rows_of(Recording(requests=requests))}
    latency = rows["Request Latency"].stats
    assert latency["max"] == 30.0  # the timeout counts, the failure does not
    assert latency["avg"] == pytest.approx((sum(0.1 + k / 1000 for k in range(100)) + 30) / 101)
    assert latency["p50"] == pytest.approx(0.15, rel=1.1e-3)
    assert latency["std"] == pytest.approx(np.std([0.1 + k / 1000 for k in range(100)] + [30.0]))
    assert rows["Request Count"].stats["avg"] == 100
    assert rows["Error Request Count"].stats["avg"] == 2
    assert rows["Request Throughput"].stats["avg"] == pytest.approx(100 / 130)
    lines = table_of(list(rows.values())).splitlines()
    assert lines[0].split() == ["Metric", "avg", "min", "max", "p99", "p95", "p90", "p75", "p50", "std"]
    assert lines[1].split()[:3] == ["Request", "Latency", "(ms)"]
    assert "30,000.00" in lines[1]
    assert len({len(line) for line in lines}) == 1


def test_a_queue_that_grows_is_named():
    from easel.platforms.summary import sentences_of

    growing = [request(k, 0.0).model_copy(update={"completed": 2.0 * (k + 1), "intended": float(k)}) for k in range(30)]
    assert any(
        "faster (1.00/s) than they were answered (0.50/s)" in one for one in sentences_of(Recording(requests=growing))
    )
    steady = [request(k, 0.5) for k in range(30)]
    assert not any("faster" in one for one in sentences_of(Recording(requests=steady)))
