"""Arrivals from files, good and bad, and from a description."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from easel.errors import InputError
from easel.platforms.files import parse
from easel.platforms.trace import DAY
from easel.platforms.traffic import Week, make_traffic, read_traffic


def all_of(traffic, seed=0):
    return np.concatenate(list(traffic.chunks(seed)))


def test_seconds_and_timestamps_of_a_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("seconds\n1\n2.5\n2.5\n90000\n")
    traffic = read_traffic(path)
    assert all_of(traffic).tolist() == [1, 2.5, 2.5, 90000]
    assert traffic.span_seconds == 2 * DAY
    assert traffic.requests == 4
    path.write_text("user,time\na,2026-11-02T08:00:00Z\nb,2026-11-03T09:30:00.5Z\n")
    assert all_of(read_traffic(path)).tolist() == [8 * 3600, DAY + 9.5 * 3600 + 0.5]


@pytest.mark.parametrize(
    ("text", "arrivals"),
    [
        ("1\n2.5\n7\n", [1, 2.5, 7]),
        ("seconds\n3\n1\n2\n", [1, 2, 3]),
        ("timestamp\n1764288003\n1764288001.5\n", [1.5, 3]),
        ("arrival\n1764288003000\n1764288001500\n", [1.5, 3]),
        ("time\n2026-11-28T00:00:03\n2026-11-29T00:00:00\n", [3, DAY]),
        ("time\n2026-11-28\n2026-11-30\n", [0, 2 * DAY]),
        ("time\n2026-11-28T01:00:00+01:00\n", [0]),
        ("seconds\r\n1\r\n2\r\n", [1, 2]),
        ("\ufeffseconds\n1\n", [1]),
        ("time,seconds\n2026-11-28,4\n", [4]),
    ],
)
def test_what_logs_look_like(tmp_path, text, arrivals):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert all_of(read_traffic(path)).tolist() == arrivals


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet(tmp_path, unit):
    path = tmp_path / "a.parquet"
    moments = pa.array([3600, 3601, 7200], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp(unit))
    parquet.write_table(pa.table({"time": moments, "what": ["a", "b", "c"]}), path)
    assert all_of(read_traffic(path)).tolist() == [3600, 3601, 7200]
    parquet.write_table(pa.table({"seconds": pa.array([0, 1, 5], pa.int32())}), path)
    assert all_of(read_traffic(path)).tolist() == [0, 1, 5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seconds\n-1\n", "arrival 1 is -1"),
        ("seconds\n5\nnan\n", "arrival 2 is nan"),
        ("seconds\n5\n\n7\n1e999\n", "inf"),
        ("seconds,a\n5,1\n,2\n", "arrival 2 is nan"),
        ("seconds\n1e9999\n", "inf"),
        ("seconds\n0\n1764288000\n", "arrival 2 is 1764288000"),
        ("when\n1\n", "'when'"),
        ("a,b\n1,2\n", "'a', 'b'"),
        ("seconds\nsoon\n", "soon"),
        ("seconds\n", "no arrival"),
        ("", "Empty"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_words(tmp_path, text, told):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_traffic(path)


@pytest.mark.parametrize("name", ["missing.csv", "missing.yaml", "a.txt", "a.parquet"])
def test_what_is_no_trace_is_refused(tmp_path, name):
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"\x00\xff nonsense")
    with pytest.raises(InputError, match=name):
        read_traffic(tmp_path / name)


def test_days_must_hold_the_last_arrival(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"seconds\n{3 * DAY}\n")
    assert read_traffic(path, 30.0).span_seconds == 30 * DAY
    with pytest.raises(InputError, match="3.00 days"):
        read_traffic(path, 2.0)


def week(**changed):
    return parse({"name": "test", "requests_per_day": 50_000.0, "days": 14.0, **changed}, Week, "test")


def test_a_description_gives_as_many_as_it_says_in_its_rhythm():
    hours = [1.0] * 12 + [3.0] * 12
    traffic = make_traffic(week(hours=hours, weekdays=[1.0] * 5 + [0.5] * 2))
    arrivals = all_of(traffic, 3)
    assert arrivals.size == pytest.approx(700_000, rel=0.01)
    assert (np.diff(arrivals) >= 0).all()
    assert arrivals[0] >= 0
    assert arrivals[-1] <= traffic.span_seconds
    by_hour = np.bincount((arrivals // 3600).astype(int) % 24, minlength=24)
    assert by_hour[12:].sum() / by_hour[:12].sum() == pytest.approx(3, rel=0.02)
    by_day = np.bincount((arrivals // DAY).astype(int) % 7, minlength=7)
    assert by_day[5:].sum() / by_day[:5].sum() == pytest.approx(1 / 5, rel=0.02)
    assert np.array_equal(arrivals, all_of(traffic, 3))
    assert not np.array_equal(arrivals[:100], all_of(traffic, 4)[:100])


def test_growth_bursts_and_uneven_gaps():
    grown = all_of(make_traffic(week(days=60.0, growth_per_month=1.0)), 1)
    assert (grown > 30 * DAY).sum() / (grown <= 30 * DAY).sum() == pytest.approx(2, rel=0.03)
    bursty = all_of(make_traffic(week(bursts={"per_day": 4.0, "factor": 30.0, "minutes": 10.0})), 1)
    by_minute = np.bincount((bursty // 60).astype(int))
    assert by_minute.max() > 20 * np.median(by_minute)
    plain = np.bincount((all_of(make_traffic(week()), 1) // 60).astype(int))
    assert plain.var() / plain.mean() == pytest.approx(1, abs=0.05)  # Poisson
    uneven = np.bincount((all_of(make_traffic(week(gaps={"variation": 4.0})), 1) // 60).astype(int))
    assert uneven.var() / uneven.mean() > 8
    heavy = np.diff(all_of(make_traffic(week(gaps={"pareto": 1.5})), 1))
    assert heavy.max() > 200 * heavy.mean()


def test_a_chunk_is_bounded_whatever_the_number():
    traffic = make_traffic(week(requests_per_day=2_000_000.0, days=1.0))
    sizes = [chunk.size for chunk in traffic.chunks(0)]
    assert len(sizes) > 5
    assert max(sizes) <= 1 << 18
    assert sum(sizes) == pytest.approx(2_000_000, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_day": -1.0},
        {"requests_per_day": 1e9},
        {"days": 1e9},
        {"hours": [1.0] * 23},
        {"hours": [0.0] * 24},
        {"weekdays": [1.0] * 6 + [-1.0]},
        {"gaps": {"pareto": 1.0}},
        {"bursts": {"per_day": 1.0, "factor": 0.5, "minutes": 1.0}},
        {"growth_per_month": 10.0, "days": 3000.0},
        {"color": "red"},
        {"requests_per_day": float("nan")},
        {"requests_per_day": "many"},
    ],
)
def test_a_description_that_is_wrong_is_refused(wrong):
    with pytest.raises(InputError):
        make_traffic(week(**wrong))
