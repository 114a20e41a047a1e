"""The answer to a question of the Planner: each setting simulated once, which takes about a second at most.

This module needs the extra `plan`: the page's server imports it when the Planner is opened for the first time.
"""

from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.page.question import MAX_ARRIVALS, MOST, Change, Question, Spread, traffic_of
from easel.platforms.choose import Row, cheapest, evaluate
from easel.platforms.files import read_yaml
from easel.platforms.prices import Estimate, Platform
from easel.platforms.profile import Profile
from easel.platforms.study import RULES, row_as_json
from easel.platforms.trace import DAY
from easel.platforms.traffic import Week

PROFILE = "z-image-turbo-l40s.yaml"  # what the sliders begin with


def changed(platform: Platform, change: Change) -> Platform:
    """Return a platform with other prices of a second, and maybe another idle window."""

    def priced(one: Estimate) -> Estimate:
        known = {"value": one.value, "low": one.low, "high": one.high}
        return one.model_copy(update={name: usd and usd * change.price for name, usd in known.items()})

    update: dict[str, Any] = {
        "cards": {name: priced(one) for name, one in platform.cards.items()},
        "host_usd_per_second": priced(platform.host_usd_per_second),
    }
    if change.idle_seconds is not None:
        known = {"value": change.idle_seconds, "low": None, "high": None}
        update["idle_seconds"] = platform.idle_seconds.model_copy(update=known)
    return platform.model_copy(update=update)


def answer(question: Question, platforms: list[Platform]) -> dict[str, Any]:
    """Return what each setting costs and how long its requests take. Raises InputError for what cannot be asked."""
    names = [platform.name for platform in platforms]
    if wrong := [name for name in question.platforms if name not in names]:
        raise InputError(f"There is no platform {wrong[0]!r}: there are {', '.join(names)}.")
    chosen = [changed(one, question.platforms.get(one.name, Change())) for one in platforms]
    traffic, profile = traffic_of(question), question.profile()
    rows = evaluate(chosen, profile, traffic, repeats=0, sweep=False)
    best = cheapest(rows, question.p95_seconds)
    return {
        "requests": traffic.requests,
        "days": traffic.span_seconds / DAY,
        "facts": traffic.facts,
        "cheapest": best and best.name,
        "without_card": [one.title for one in chosen if question.card not in one.cards],
        "settings": [setting_of(row, profile) for row in rows],
    }


def setting_of(row: Row, profile: Profile) -> dict[str, Any]:
    """Return a row's figures; `usd_by_stage` adds up to the month's bill, fee and credit spread over it."""
    case = row.platform.case(row.setting, profile.setup_seconds, profile.weights_bytes.value or 0.0)
    cost = row.usd_per_month()
    return row_as_json(row) | {
        "name": row.name,
        "usd_by_stage": {stage: cost * share for stage, share in row.shares().items()},
        "cold_start_s": case.before_setup_seconds + case.setup.average(),
    }


def figures(platforms: list[Platform], samples: Path) -> dict[str, Any]:
    """Return what the tab shows before anything is asked: all figures of the platforms, and what samples there are."""
    profile = samples / "profiles" / PROFILE
    return {
        "platforms": [platform.model_dump(mode="json") for platform in platforms],
        "profile": read_yaml(profile, Profile).model_dump(mode="json") if profile.is_file() else None,
        "weeks": [preset(path) for path in sorted((samples / "traffic").glob("*.yaml"))],
        "rules": RULES[:4],  # the others are of ranges and of other volumes, which the Planner does not show
        "most_arrivals": MAX_ARRIVALS,
        "most_requests_per_day": MOST,
    }


def preset(path: Path) -> dict[str, Any]:
    """Return a sample's week with a weight for each hour; its first line, a comment, says what it is."""
    week = read_yaml(path, Week)
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return {
        "name": week.name,
        "about": first.lstrip("# ") if first.startswith("#") else "",
        "requests_per_day": week.requests_per_day,
        "week": week.week or [day * hour for day in week.weekdays for hour in week.hours],
        "bursts": week.bursts and week.bursts.model_dump(),
        "variation": week.gaps.variation,
    }


def compile_simulation(platforms: list[Platform]) -> None:
    """Answer a question of few requests, which has numba compile the simulation, or load it if that was done before."""
    second = Spread(median=1.0, p95=1.0)
    answer(
        Question(
            trace=[0.0],
            card=next(iter(platforms[0].cards)),
            run_seconds=second,
            first_run_seconds=second,
            setup_seconds=second,
            weights_bytes=0.0,
            p95_seconds=1.0,
        ),
        platforms,
    )
