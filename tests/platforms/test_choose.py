"""What a workload costs: by hand to the cent, and what must hold for any of them."""

import datetime
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import InputError
from easel.platforms.choose import cheapest, evaluate, settings_of, utilisation_to_beat
from easel.platforms.files import parse, read_yaml
from easel.platforms.prices import Estimate, load_list_prices, load_platforms
from easel.platforms.profile import Profile
from easel.platforms.study import RUNS, make_study, sentences
from easel.platforms.traffic import MONTH, read_traffic
from easel.platforms.volumes import VOLUMES, Curve, break_even, cheapest_by_volume
from tests.platforms.conftest import ACTIVE, ALL, READ, estimate, figure, make_platform

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TEN = [0, 5, 20, 100, 101, 102, 400, 405, 406, 900]


def trace(folder, arrivals, days=1.0):
    path = folder / "trace.csv"
    path.write_text("seconds\n" + "".join(f"{at}\n" for at in arrivals))
    return read_traffic(path, days)


def test_ten_arrivals_by_hand(tmp_path, profile):
    """One instance, that ends when it was idle for 60 s; each line is one instance from its start:

    0 set-up, 10 to 13 and to 15, idle to 20, runs to 22, idle to 82    10 + 7 + 65
    100 set-up, 110 to 113, to 115, to 117, idle to 177                 10 + 7 + 60
    400 set-up, 410 to 413, to 415, to 417, idle to 477                 10 + 7 + 60
    900 set-up, 910 to 913, idle to 973                                 10 + 3 + 60
    """
    whole, active = evaluate([make_platform([ALL, ACTIVE])], profile, trace(tmp_path, TEN))
    outcome = whole.likely
    assert (outcome.setup_s, outcome.active_s, outcome.idle_s) == (40, 24, 245)
    assert (outcome.started, outcome.cold, outcome.done) == (4, 4, 10)
    latencies = [13, 10, 2, 13, 14, 15, 13, 10, 11, 13]
    assert outcome.mean_latency == pytest.approx(np.mean(latencies))
    assert outcome.latency[0] == pytest.approx(np.percentile(latencies, 50), abs=1.0)
    days = MONTH / 86400
    assert round(whole.usd_per_month(), 2) == round(0.309 * days, 2) == 9.41
    assert round(active.usd_per_month(), 2) == round(0.024 * days, 2) == 0.73
    assert whole.usd_per_image() == pytest.approx(0.0309)
    assert whole.shares() == pytest.approx({"setup": 40 / 309, "idle": 245 / 309, "active": 24 / 309})


def test_what_is_fetched_and_booted_comes_before_the_setup(tmp_path, profile):
    heavy = profile.model_copy(update={"weights_bytes": profile.weights_bytes.model_copy(update={"value": 3e9})})
    platform = make_platform([ALL], boot_seconds=estimate(7.0))
    (row,) = evaluate([platform], heavy, trace(tmp_path, [0]))
    assert row.likely.setup_s == 7 + 3 + 10
    assert row.likely.mean_latency == 20 + 3


def test_fee_and_credit(tmp_path, profile):
    fee = make_platform([ALL], usd_per_month=estimate(20.0), credit_usd_per_month=estimate(5.0))
    (row,) = evaluate([fee], profile, trace(tmp_path, TEN))
    assert row.usd_per_month() == pytest.approx(20 + 0.309 * MONTH / 86400 - 5)
    generous = make_platform([ALL], usd_per_month=estimate(20.0), credit_usd_per_month=estimate(500.0))
    (row,) = evaluate([generous], profile, trace(tmp_path, TEN))
    assert row.usd_per_month() == 20


@given(prices=st.lists(st.floats(0, 1), min_size=2, max_size=2), credit=st.floats(0, 50))
def test_a_bill_never_falls_when_prices_rise(study, prices, credit):
    gift = Estimate(value=credit, source="a test", date=READ)
    for row in study.rows:
        platform = row.platform.model_copy(update={"credit_usd_per_month": gift})
        low, high = (
            replace(row, platform=platform, price=Estimate(value=price, source="a test", date=READ))
            for price in sorted(prices)
        )
        assert low.usd_per_month() <= high.usd_per_month()
        assert low.usd_range() <= high.usd_range()


@pytest.fixture(scope="module")
def study():
    """The platforms as they are shipped, with a profile and a trace of samples/, on a certain day."""
    profile = read_yaml(SAMPLES / "profiles" / "z-image-turbo-l40s.yaml", Profile)
    traffic = read_traffic(SAMPLES / "traffic" / "hobby.csv")
    return make_study(traffic, profile, load_platforms(), 10.0, 0, datetime.date(2026, 11, 28))


def test_each_setting_of_each_platform_is_there_and_ranges_hold_the_likely(study):
    assert len({row.name for row in study.rows}) == len(study.rows) >= 10
    assert {row.platform.name for row in study.rows} == {"modal", "own-gpu", "replicate"}
    for row in study.rows:
        low, high = row.usd_range()
        assert 0 <= low <= row.usd_per_month() <= high
        cheapest_image, dearest_image = row.usd_per_image_range()
        assert cheapest_image <= row.usd_per_image() <= dearest_image
        assert dearest_image * 517 / 28 * MONTH / 86400 == pytest.approx(high)
        assert row.likely.done == row.likely.requests == 517
        assert row.keeps_up()


def test_unknowns_are_swept_and_the_widest_is_named(study):
    private = next(row for row in study.rows if row.setting.name == "private model")
    assert set(private.swept) == {"idle_seconds", "boot_seconds", "fetch_bytes_per_second", "waiting_per_slot"}
    name, low, high = private.widest_unknown()
    assert name == "idle_seconds"
    assert high > 2 * low


def test_the_cheapest_meets_the_wish_and_nothing_cheaper_does(study):
    for wish in (3.0, 10.0, 20.0, 60.0):
        best = cheapest(study.rows, wish)
        if best is not None:
            assert best.likely.latency[1] <= wish
        cheaper = [row for row in study.rows if best is None or row.usd_per_month() < best.usd_per_month()]
        assert all(row.likely.latency[1] > wish for row in cheaper)
    assert cheapest(study.rows, 0.5) is None


def test_the_same_seed_gives_the_same_figures_and_another_does_not(study):
    again = evaluate(load_platforms(), study.profile, study.traffic)
    for one, other in zip(study.rows, again, strict=True):
        assert one.usd_per_month() == other.usd_per_month()
        assert one.likely.latency == other.likely.latency
        assert [r.mean_latency for r in one.repeats] == [r.mean_latency for r in other.repeats]
    other = evaluate(load_platforms(), study.profile, study.traffic, seed=9, repeats=0, sweep=False)
    assert other[0].likely.mean_latency != study.rows[0].likely.mean_latency


def test_prices_older_than_a_year_are_said_to_be(study):
    assert not any("PRICES ARE OLD" in line for line in sentences(study))
    old = replace(study, today=datetime.date(2028, 1, 1))
    assert any("PRICES ARE OLD" in line and "Replicate" in line for line in sentences(old))


def test_every_figure_of_the_platforms_is_among_the_assumptions(study):
    told = {(one.of, one.name) for one in study.assumptions()}
    for platform in load_platforms():
        for name in ("idle_seconds", "boot_seconds", "fetch_bytes_per_second", "l40s, USD a second"):
            assert (platform.title, name) in told
    assert ("profile", "run_seconds") in told
    assert all(one.source for one in study.assumptions())


def test_a_fixed_fleet_is_sized_by_the_load(profile, tmp_path):
    own = make_platform([ALL], sized=True)
    busy = trace(tmp_path, np.arange(0, 86400, 0.25).tolist())  # 4 a second * 2 s
    sizes = [setting.max_instances for setting in settings_of(own, profile, busy)]
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 9
    assert sizes[-1] == 18
    assert all(setting.min_instances == setting.max_instances for setting in settings_of(own, profile, busy))


def test_what_cannot_do_the_work_is_not_chosen(profile, tmp_path):
    busy = trace(tmp_path, np.arange(0, 86400, 0.5).tolist())  # 2 a second * 2 s on one instance
    (row,) = evaluate([make_platform([ALL])], profile, busy)
    assert not row.keeps_up()
    assert cheapest([row], 1e9) is None


def test_a_card_that_no_platform_has_is_refused(profile, tmp_path):
    with pytest.raises(InputError, match="b300"):
        evaluate(load_platforms(), profile.model_copy(update={"hardware": "b300"}), trace(tmp_path, [0]))
    with pytest.raises(InputError, match="nimbus"):
        load_platforms(["nimbus"])


def test_break_even_between_two_curves():
    flat = Curve("flat", (100.0,) * len(VOLUMES))
    by_use = Curve("by use", tuple(volume / 10 for volume in VOLUMES))
    limited = Curve("limited", tuple(volume / 20 if volume < 3000 else math.inf for volume in VOLUMES))
    assert break_even(by_use, flat) == pytest.approx(1000)
    assert break_even(flat, by_use) is None
    assert break_even(limited, by_use) is None  # it is not cheaper anywhere, the other only cannot
    segments = cheapest_by_volume([flat, by_use])
    assert [segment.name for segment in segments] == ["by use", "flat"]
    assert segments[1].since == pytest.approx(1000)


def test_the_utilisation_that_beats_a_list_price(profile):
    """At a tenth of a cent a second and 2 s an image, half a cent an image needs 40 % of the time."""
    assert utilisation_to_beat(0.001, profile, 0.005) == pytest.approx(0.4)
    assert load_list_prices()[0].usd_per_image.value == min(one.usd_per_image.value for one in load_list_prices())


def test_the_progress_of_a_study_ends_at_its_number_of_runs(profile, tmp_path):
    told = []
    own = make_platform([ALL], sized=True)
    make_study(trace(tmp_path, TEN), profile, [own], 10.0, 0, READ, told.append)
    assert sum(told) == pytest.approx(RUNS)


def test_failed_runs_are_counted_billed_and_no_images(profile, tmp_path):
    often = profile.model_copy(update={"run_failures": profile.run_failures.model_copy(update={"value": 0.25})})
    requests = trace(tmp_path, np.arange(0, 80_000, 10).tolist())
    (well,) = evaluate([make_platform([ALL])], profile, requests, repeats=0)
    (bad,) = evaluate([make_platform([ALL])], often, requests, repeats=0)
    assert bad.likely.failed / bad.likely.done == pytest.approx(0.25, abs=0.02)
    assert bad.usd_per_month() == well.usd_per_month()
    assert bad.usd_per_image() == pytest.approx(well.usd_per_image() / 0.75, rel=0.03)


def test_a_first_run_is_not_drawn_shorter_than_another(profile, tmp_path):
    hasty = profile.model_copy(update={"first_run_seconds": profile.run_seconds.model_copy(update={"value": 0.5})})
    (row,) = evaluate([make_platform([ALL])], hasty, trace(tmp_path, [0]))
    assert row.likely.active_s == 2.0


@pytest.mark.parametrize(
    "changed",
    [
        {"setup_seconds": {"median": 0.001, "p95": 1e300}},
        {"setup_seconds": {"value": 1e300}},
        {"setup_seconds": {"mean": 1e308}},
        {"run_seconds": {"value": 0.0}},
        {"run_seconds": {"samples": [0.0, 1e300]}},
        {"weights_bytes": {"value": 1e300}},
        {"setup_failures": {"value": 0.999}},
    ],
    ids=str,
)
def test_figures_without_measure_end_in_a_result(profile, tmp_path, changed):
    values = profile.model_dump() | {name: figure(**form) for name, form in changed.items()}
    wild = parse(values, Profile, "test")
    rows = evaluate(load_platforms(["modal", "own-gpu"]), wild, trace(tmp_path, [0, 1, 2]), repeats=0)
    assert all(row.likely.requests == 3 for row in rows)
    assert all(math.isfinite(row.usd_per_month()) for row in rows)
    assert all(row.keeps_up() <= (row.likely.done == 3) for row in rows)
