"""The same traffic at other volumes: from how many requests a day one setting is cheaper than another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from easel.platforms.choose import Progress, evaluate
from easel.platforms.prices import Platform
from easel.platforms.profile import Profile
from easel.platforms.trace import DAY
from easel.platforms.traffic import Traffic, Week, make_traffic

VOLUMES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000)  # requests a day
WEEKS_OF_FEW = 50_000  # requests that are enough for a mean: few a day are drawn for more weeks
FIXED = "fixed"  # the smallest fleet of a fixed size that keeps up, whatever its size


@dataclass(frozen=True)
class Curve:
    """US dollars a month of one setting at each of VOLUMES; infinite where it does not keep up."""

    name: str
    usd: tuple[float, ...]


def cost_by_volume(
    platforms: Sequence[Platform],
    profile: Profile,
    traffic: Traffic,
    seed: int = 0,
    progress: Progress = lambda count: None,
) -> list[Curve]:
    """Return a curve for each setting. Arrivals are Poisson's, in the traffic's mean rhythm of the week."""
    hours = [float(rate) for rate in traffic.rhythm]
    costs: dict[str, list[float]] = {}
    for volume in VOLUMES:
        weeks = min(max(math.ceil(WEEKS_OF_FEW / (7 * volume)), 1), 12)
        rows = evaluate(platforms, profile, poisson(hours, volume, weeks), seed, repeats=0, sweep=False)
        best: dict[str, float] = {}
        for row in rows:
            name = f"{row.platform.title}, {FIXED}" if row.platform.sized else row.name
            cost = row.usd_per_month() if row.keeps_up() else math.inf
            best[name] = min(best.get(name, math.inf), cost)
        for name, cost in best.items():
            costs.setdefault(name, []).append(cost)
        progress(1)
    return [Curve(name, tuple(usd)) for name, usd in costs.items()]


def poisson(hours: list[float], requests_per_day: float, weeks: int) -> Traffic:
    """Return Poisson arrivals with a rhythm of 168 hours."""
    week = Week(name="the same week", requests_per_day=requests_per_day, days=7.0 * weeks, week=hours)
    return make_traffic(week)


@dataclass(frozen=True)
class Segment:
    """From `since` requests a day on, `name` is the cheapest."""

    since: float
    name: str


def cheapest_by_volume(curves: Sequence[Curve]) -> list[Segment]:
    """Return which setting is the cheapest in which range of volumes, by straight lines between the logarithms."""
    segments: list[Segment] = []
    for place, volume in enumerate(VOLUMES):
        best = min(curves, key=lambda curve: curve.usd[place])
        if math.isinf(best.usd[place]) or (segments and segments[-1].name == best.name):
            continue
        last = next((curve for curve in curves if segments and curve.name == segments[-1].name), None)
        crossing = break_even(last, best) if last else None
        since = crossing if crossing and crossing > segments[-1].since else float(volume)
        segments.append(Segment(since, best.name))
    return segments


def break_even(first: Curve, second: Curve) -> float | None:
    """Return the requests a day from which `second` is cheaper than `first`, None if there is no such volume.

    Only volumes at which both keep up count. Between two of them both costs are taken as powers of the volume, which
    are straight lines on logarithmic axes; a cost of nothing counts as a cent.
    """
    both = [
        (math.log(volume), math.log(max(one, 0.01) / max(other, 0.01)))
        for volume, one, other in zip(VOLUMES, first.usd, second.usd, strict=True)
        if math.isfinite(one) and math.isfinite(other)
    ]
    for (high, after), (low, before) in pairwise(reversed(both)):  # from the largest volume down
        if after <= 0:
            return None
        if before <= 0:
            return math.exp(low + (high - low) * -before / (after - before))
    return None


def requests_per_day(traffic: Traffic) -> float:
    return traffic.requests / traffic.span_seconds * DAY
