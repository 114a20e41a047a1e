"""Which differences are real: seeded measurements of the same and of other distributions."""

import json

import numpy as np
import pytest

from easel.errors import InputError
from easel.platforms.compare import compare, holm, sentence_of, warnings_of
from easel.platforms.results import Recording, Request, Run, Start, read_results, write_results


def recording(latencies, errors=0, starts=(), rate=1.0):
    run = Run(
        target="t", protocol="cog", model="m", version="v", began_at="now", easel="0", inputs={},
        schedule="poisson, seed 0", rate=rate, timeout=600.0, answer_seconds=0.0,
    )  # fmt: skip
    failed = set(np.random.default_rng(0).permutation(len(latencies))[:errors].tolist())  # not in one burst
    requests = [
        Request(
            number=k, phase="warm", intended=float(k), sent=float(k), completed=k + one, latency_seconds=one,
            run_seconds=one, status="failed" if k in failed else "succeeded", error="failed" if k in failed else None,
        )
        for k, one in enumerate(map(float, latencies))
    ]  # fmt: skip
    cold = [
        Request(number=k, phase="cold", intended=0.0, sent=0.0, completed=0.0, latency_seconds=0.0, status="succeeded")
        for k, _ in enumerate(starts)
    ]
    return Recording(run, [Start(setup_seconds=float(one)) for one in starts], [*cold, *requests])


def found(a, b):
    return {one.metric: one for one in compare(a, b)}


def drawn(seed, count=100, shift=0.0):
    return np.random.default_rng(seed).lognormal(-1, 0.3, count) + shift


def test_of_the_same_distribution_nothing_is_told_apart():
    """The chance of any false finding is 5 %: of 20 pairs at most 4 in all but 3 of 1000 cases; the seeds are fixed."""
    false = sum(
        any(one.real for one in compare(recording(drawn(2 * k, 60)), recording(drawn(2 * k + 1, 60))))
        for k in range(20)
    )
    assert false <= 4


def test_a_shift_is_real_with_its_size_inside_the_interval():
    differences = found(recording(drawn(1)), recording(drawn(2, shift=0.12)))
    for metric in ("latency, median", "latency, p95", "run time, median"):
        one = differences[metric]
        assert one.low <= 120 <= one.high
    median = differences["latency, median"]
    assert median.real
    assert median.p < 0.01
    words = sentence_of(median)
    assert words.startswith(f"latency, median: B is slower: +{median.difference:.4g} ms (+{median.low:.4g} to +")
    back = found(recording(drawn(2, shift=0.12)), recording(drawn(1)))["latency, median"]
    assert "B is faster: -" in sentence_of(back)


def test_too_few_say_how_many_would_be_needed_and_those_are_enough():
    one = found(recording(drawn(3, 20)), recording(drawn(4, 20, shift=0.05)))["latency, median"]
    assert not one.real
    assert one.needed > 20
    assert "no difference can be told with 20 and 20 values" in sentence_of(one)
    assert "each would be needed" in sentence_of(one)
    effect = one.difference / 1000
    same = np.random.default_rng(5)
    real = 0
    for _ in range(10):
        a, b = same.lognormal(-1, 0.3, one.needed), same.lognormal(-1, 0.3, one.needed) + effect
        real += found(recording(a), recording(b))["run time, median"].real
    assert real >= 5  # 8 are expected; 4 or fewer come once in 150 times, and the seeds are fixed


def test_in_a_queue_one_slow_request_is_no_hundred_witnesses():
    """Latencies that depend on one another: taken as independent, most pairs of the same process would differ."""

    def queued(seed):
        generator, wait, values = np.random.default_rng(seed), 0.0, []
        for gap in generator.exponential(1.0, 300):
            wait = max(0.0, wait + 0.9 - gap)  # Lindley, M/D/1 at 0.9
            values.append(wait + 0.9)
        return values

    pairs = [(queued(2 * k), queued(2 * k + 1)) for k in range(12)]
    assert sum(found(recording(a), recording(b))["latency, median"].real for a, b in pairs) <= 2


def test_error_rates_and_cold_starts():
    a, b = (
        recording(drawn(1), starts=[5, 5.1, 5.2, 5.3, 5.05, 5.15]),
        recording(drawn(1), errors=30, starts=range(9, 15)),
    )
    differences = found(a, b)
    errors, cold = differences["error rate"], differences["cold start, mean"]
    assert (errors.real, errors.difference) == (True, pytest.approx(30))
    assert "error rate: B is higher: +30 % (" in sentence_of(errors)
    assert cold.real
    assert cold.difference == pytest.approx(1000 * (11.5 - 30.8 / 6))
    same = found(a, a)
    assert "no difference was seen" in sentence_of(same["error rate"])
    assert not any(one.real for one in same.values())


def test_metrics_without_enough_values_are_left_out():
    assert set(found(recording(drawn(1, 5)), recording(drawn(2, 100)))) == set()
    assert "latency, p95" not in found(recording(drawn(1, 19)), recording(drawn(2, 100)))


def test_holm_is_that_of_its_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_another_load_is_named():
    a, b = recording(drawn(1)), recording(drawn(1), rate=2.0)
    assert warnings_of(a, a) == []
    assert "The load differs (poisson, seed 0, 1/s; poisson, seed 0, 2/s)" in warnings_of(a, b)[0]


def test_results_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    written = recording(drawn(1), errors=3, starts=[5])
    write_results(path, written)
    assert read_results(path) == written
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()[:3]] == ["run", "start", "request"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line of a run"),
        ("{}\n", "line 1: no line of easel measure"),
        ("[1]\n", "line 1: no line of easel measure"),
        ('{"kind": ["run"]}\n', "line 1"),
        ("{\n", "line 1: not JSON"),
        ('{"kind": "start", "setup_seconds": -1}\n', "line 1: setup_seconds"),
        ('{"kind": "start", "setup_seconds": 1, "more": 1}\n', "line 1: more"),
        ('{"kind": "start", "setup_seconds": NaN}\n', "line 1"),
        ("[" * 100_000 + "\n", "line 1: not JSON"),
    ],
)
def test_another_file_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_results(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_results(tmp_path)
