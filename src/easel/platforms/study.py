"""A whole study of one workload: all settings, all volumes, what is assumed, as values, JSON and sentences."""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from easel.platforms.choose import Row, cheapest, evaluate, utilisation_to_beat
from easel.platforms.prices import UNKNOWNS, Estimate, ListPrice, Platform, load_list_prices
from easel.platforms.profile import Figure, Profile
from easel.platforms.trace import DAY
from easel.platforms.traffic import Traffic
from easel.platforms.volumes import VOLUMES, Curve, Segment, break_even, cheapest_by_volume, cost_by_volume

RUNS = 13  # of a study: through the traffic, REPEATS with other seeds, at each of VOLUMES
RULES = (
    "Requests wait in one queue, first come first served. An instance that is needed is started at once, and is used "
    "even if the queue is empty by the time it is ready.",
    "A request takes a partly used instance before an idle one, and the one used last before the others.",
    "Run times do not depend on what else runs. A failed run takes, and costs, as long as one that ends well.",
    "A month is 30.44 days of the same traffic. A request met a cold start if it waited for the set-up of the instance "
    "that ran it.",
    "Ranges are the least and the most over prices, further seeds, and the unknown figures, each moved alone.",
    "At other volumes arrivals are Poisson's, in the same rhythm of the week: bursts are not scaled.",
)


@dataclass(frozen=True)
class Assumption:
    """One figure with its range, for the table of what is assumed."""

    of: str
    name: str
    value: str
    source: str
    date: datetime.date | None
    stale: bool


@dataclass(frozen=True)
class Study:
    """`p95_seconds` is the wish by which the cheapest setting is chosen; `today` judges the age of prices."""

    traffic: Traffic
    profile: Profile
    rows: Sequence[Row]
    curves: Sequence[Curve]
    list_prices: Sequence[ListPrice]
    p95_seconds: float
    seed: int
    today: datetime.date

    @cached_property
    def best(self) -> Row | None:
        return cheapest(self.rows, self.p95_seconds)

    def segments(self) -> list[Segment]:
        return cheapest_by_volume(self.curves)

    def crossings(self) -> list[tuple[str, str, float]]:
        """Return pairs of settings and the requests a day from which the second is cheaper than the first."""
        found = [(a.name, b.name, break_even(a, b)) for a in self.curves for b in self.curves if a is not b]
        return [(one, other, volume) for one, other, volume in found if volume is not None]

    def utilisations(self) -> list[tuple[str, str, float, float]]:
        """Return platform, host, its price of an image, and in which share of its time a card must draw to match it."""
        prices = {row.platform.title: row.price.value for row in self.rows}
        asked = [(price.host, price.usd_per_image.value) for price in self.list_prices]
        return [
            (title, host, image, utilisation_to_beat(usd, self.profile, image))
            for title, usd in prices.items()
            for host, image in asked
        ]

    def assumptions(self) -> list[Assumption]:
        """Return every figure that the result rests on, and where it comes from."""
        names = ("setup_seconds", "first_run_seconds", "run_seconds", "weights_bytes", "run_failures", "setup_failures")
        found = [self.of_profile(name, getattr(self.profile, name)) for name in names]
        for platform in {row.platform.name: row.platform for row in self.rows}.values():
            figures = {f"{self.profile.hardware}, USD a second": platform.cards[self.profile.hardware]}
            figures |= {name: getattr(platform, name) for name in ("host_usd_per_second", *UNKNOWNS)}
            figures |= {name: getattr(platform, name) for name in ("usd_per_month", "credit_usd_per_month")}
            found += [self.of_platform(platform.title, name, figure) for name, figure in figures.items()]
        return found

    def of_profile(self, name: str, figure: Figure) -> Assumption:
        source = f"{figure.origin}: {figure.source}"
        return Assumption("profile", name, describe(figure), source, None, False)

    def of_platform(self, title: str, name: str, figure: Estimate) -> Assumption:
        value = f"{figure.value:,.10g}"
        if figure.low is not None:
            value += f" ({figure.low:,.10g} to {figure.high:,.10g})"
        return Assumption(title, name, value, figure.source, figure.date, figure.is_stale(self.today))


def make_study(
    traffic: Traffic,
    profile: Profile,
    platforms: Sequence[Platform],
    p95_seconds: float,
    seed: int,
    today: datetime.date,
    progress: Callable[[float], object] = lambda runs: None,
) -> Study:
    """Simulate all that a study needs. `progress` is told parts of RUNS. Raises InputError where no platform fits."""
    rows = evaluate(platforms, profile, traffic, seed, progress=lambda count: progress(count / traffic.requests))
    curves = cost_by_volume(platforms, profile, traffic, seed, progress)
    return Study(traffic, profile, rows, curves, load_list_prices(), p95_seconds, seed, today)


def describe(figure: Figure) -> str:
    """Return a distribution in words."""
    if figure.value is not None:
        return f"{figure.value:,.12g}"
    if figure.mean is not None:
        return f"exponential, mean {figure.mean:g}"
    if figure.samples is not None:
        return f"{len(figure.samples)} samples, mean {figure.average():.4g}"
    return f"lognormal, median {figure.median:g}, 95th percentile {figure.p95:g}"


def sentences(study: Study) -> list[str]:
    """Return what the study says, in a few sentences."""
    told = []
    if best := study.best:
        told.append(
            f"The cheapest setting with a 95th percentile of at most {study.p95_seconds:g} s is {best.name}: "
            f"${best.usd_per_month():,.2f} a month, ${best.usd_per_image():.5f} an image, "
            f"p95 {best.likely.latency[1]:.1f} s."
        )
    else:
        told.append(f"No setting has a 95th percentile of at most {study.p95_seconds:g} s.")
    segments = study.segments()
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        since = f"from {about(segment.since)}" if segment.since > VOLUMES[0] else "from few"
        until = f" to {about(following.since)}" if following else ""
        told.append(f"Whatever the latency, {since}{until} requests a day {segment.name} is the cheapest.")
    for title, host, usd, share in study.utilisations():
        if host != study.list_prices[0].host:
            continue
        must = f"must draw {share:.0%} of its time" if share <= 1 else "is too dear, even if it draws always,"
        told.append(f"A card of {title} {must} to match the ${usd:g} an image that {host} asks.")
    if stale := sorted({one.of for one in study.assumptions() if one.stale}):
        told.append(f"PRICES ARE OLD: figures of {', '.join(stale)} were read over a year ago. Look them up again.")
    return told


def about(volume: float) -> str:
    """Return a positive number with two digits that say something: 8,608 is 8,600."""
    return f"{round(volume, 1 - math.floor(math.log10(volume))):,.10g}"


def table(study: Study) -> list[str]:
    """Return the settings as lines for a terminal."""
    columns = f"{'$ a month':>12}{'$ an image':>12}{'p50 s':>8}{'p95 s':>8}{'cold':>8}{'used':>6}"
    lines = [f"  {'setting':42}{columns}"]
    for row in study.rows:
        mark = "*" if row is study.best else " " if row.keeps_up() else "!"
        p50, p95, _ = row.likely.latency
        lines.append(
            f"{mark:2}{row.name:42}{row.usd_per_month():12,.2f}{row.usd_per_image():12.5f}{p50:8.1f}{p95:8.1f}"
            f"{row.likely.cold_share:8.1%}{row.likely.utilisation:6.0%}"
        )
    return [*lines, "  *: the cheapest that meets --p95; !: cannot do this work"]


def as_json(study: Study) -> dict[str, Any]:
    """Return the study as plain values; what is infinite is null."""
    best = study.best
    return {
        "traffic": study.traffic.name,
        "requests": round(study.traffic.requests),
        "days": study.traffic.span_seconds / DAY,
        "profile": study.profile.name,
        "seed": study.seed,
        "p95_seconds": study.p95_seconds,
        "cheapest": best.name if best else None,
        "settings": [row_as_json(row) for row in study.rows],
        "volumes": list(VOLUMES),
        "usd_per_month_by_volume": {curve.name: [finite(usd) for usd in curve.usd] for curve in study.curves},
        "break_even_requests_per_day": [
            {"above": one, "cheaper": other, "requests_per_day": volume} for one, other, volume in study.crossings()
        ],
        "utilisation_to_match": [
            {"platform": title, "host": host, "usd_per_image": usd, "share": share}
            for title, host, usd, share in study.utilisations()
        ],
        "assumptions": [
            {"of": one.of, "name": one.name, "value": one.value, "source": one.source, "date": str(one.date or "")}
            for one in study.assumptions()
        ],
    }


def row_as_json(row: Row) -> dict[str, Any]:
    low, high = row.usd_range()
    outcome = row.likely
    return {
        "platform": row.platform.name,
        "setting": row.setting.name,
        "keeps_up": row.keeps_up(),
        "usd_per_month": row.usd_per_month(),
        "usd_per_month_low": low,
        "usd_per_month_high": high,
        "usd_per_image": finite(row.usd_per_image()),
        "usd_per_image_low": finite(row.usd_per_image_range()[0]),
        "usd_per_image_high": finite(row.usd_per_image_range()[1]),
        **dict(zip(("p50_s", "p95_s", "p99_s"), outcome.latency, strict=True)),
        "p95_s_range": row.range_of(lambda one: one.latency[1]),
        "cold_share": outcome.cold_share,
        "utilisation": outcome.utilisation,
        "instances_started": outcome.started,
        "seconds": {"setup": outcome.setup_s, "idle": outcome.idle_s, "active": outcome.active_s},
        "failed": outcome.failed,
        "refused": outcome.refused,
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
