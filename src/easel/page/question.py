"""What the Planner asks, read strictly: a week or a trace, a model's times, and what differs from the platforms."""

import math
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import FailFast, Field, model_validator
from pydantic_core import from_json

from easel.errors import InputError
from easel.platforms.files import Strict, parse
from easel.platforms.profile import Figure, Profile
from easel.platforms.trace import DAY, check_arrivals
from easel.platforms.traffic import Bursts, Gaps, Traffic, Week, make_traffic, rhythm_of

MAX_ARRIVALS = 200_000
ENOUGH = 100_000  # requests: of fewer a week more weeks are drawn, so that a slider moves the answer and not chance
MOST = 350_000  # requests, which the settings go through in about a second on two cores; more a week are fewer days
MOST_WEEKS = 52
MOST_MEMBERS = 20  # of an object in the question
LEAST_WEIGHT = 1e-9  # mean of a week: smaller ones cannot be divided by
MOST_P95 = 20  # times the median: beyond it a few requests take longer than the whole span
SLIDER = "a slider of the Planner"

Seconds = Annotated[float, Field(ge=0.001, le=3600)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Arrival = Annotated[float, Field(ge=0, le=366 * DAY)]


class Spread(Strict):
    """Seconds, lognormal through these two percentiles."""

    median: Seconds
    p95: Annotated[float, Field(ge=0.001, le=3600 * MOST_P95)]

    @model_validator(mode="after")
    def check_order(self) -> Self:
        if not self.median <= self.p95 <= MOST_P95 * self.median:
            raise ValueError(f"p95 must be 1 to {MOST_P95} times the median")
        return self

    def figure(self) -> Figure:
        return Figure(median=self.median, p95=self.p95, origin="assumed", source=SLIDER)


class Change(Strict):
    """What differs from a platform's own figures. `price` multiplies all prices of a second."""

    price: Annotated[float, Field(ge=0.25, le=4)] = 1.0
    idle_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None


class DrawnWeek(Strict):
    """A weight for each hour, Monday first, and how uneven the gaps are (`variation`, see Gaps)."""

    week: Annotated[list[Weight], FailFast(), Field(min_length=168, max_length=168)]
    requests_per_day: Annotated[float, Field(ge=0.1, le=1e6)]
    bursts: Bursts | None = None
    variation: Annotated[float, Field(ge=0.05, le=20)] = 1.0


class Question(Strict):
    """`trace`: arrivals in seconds from a day's start, in order, taken as whole days. Either it or `drawn` is given."""

    drawn: DrawnWeek | None = None
    trace: Annotated[list[Arrival], FailFast(), Field(max_length=MAX_ARRIVALS)] = Field(default_factory=list)
    card: Annotated[str, Field(max_length=40)]
    run_seconds: Spread
    first_run_seconds: Spread
    setup_seconds: Spread
    weights_bytes: Annotated[float, Field(ge=0, le=1e13)]
    platforms: Annotated[dict[Annotated[str, Field(max_length=40)], Change], Field(max_length=20)] = Field(
        default_factory=dict
    )
    p95_seconds: Annotated[float, Field(ge=0.001, le=1e6)]

    @model_validator(mode="after")
    def check_traffic(self) -> Self:
        if (self.drawn is None) == (not self.trace):
            raise ValueError("either drawn or trace must be given, and a trace must have an arrival")
        return self

    def profile(self) -> Profile:
        return Profile(
            name="the Planner's",
            model="any",
            hardware=self.card,
            setup_seconds=self.setup_seconds.figure(),
            first_run_seconds=self.first_run_seconds.figure(),
            run_seconds=self.run_seconds.figure(),
            weights_bytes=Figure(value=self.weights_bytes, origin="assumed", source=SLIDER),
        )


def read_question(body: bytes) -> Question:
    """Return the body of a request. Raises InputError that says what is wrong with it."""
    try:
        values = from_json(body, allow_inf_nan=False)  # refuses what is nested deeper than some hundred levels
    except ValueError as error:
        raise InputError(f"The question must be JSON ({error}).") from None
    check_members(values)
    return parse(values, Question, "The question")


def check_members(values: Any, depth: int = 3) -> None:
    """Raise InputError unless it is an object of few members, as each inside it: to refuse each takes its time."""
    if depth == 3 and not isinstance(values, dict):
        raise InputError("The question must be a JSON object.")
    if isinstance(values, dict) and depth:
        if len(values) > MOST_MEMBERS:
            raise InputError(f"An object of the question has {len(values):,} members: at most {MOST_MEMBERS}.")
        for value in values.values():
            check_members(value, depth - 1)


def traffic_of(question: Question) -> Traffic:
    """Return whole weeks of a drawn week, or fewer days if it has very many requests; a trace as it is."""
    if (given := question.drawn) is None:
        return traced(question.trace)
    a_week = max(round(drawn(given, given.week, 7).requests), 1)
    if a_week <= MOST:
        return drawn(given, given.week, 7 * min(max(ENOUGH // a_week, 1), MOST_WEEKS))
    days = 7 * MOST // a_week
    if days < 1:
        raise InputError(
            f"{a_week / 7:,.0f} requests a day are too many to answer at once: at most {MOST:,}, bursts included. "
            "`easel simulate` takes more."
        )
    return drawn(given, fewer_days(given.week, days), days)


def drawn(given: DrawnWeek, week: list[float], days: int) -> Traffic:
    """Return `days` of the week, Poisson or more uneven, with the mean of `requests_per_day` in these days."""
    part = np.asarray(week[: 24 * min(days, 7)])
    if part.mean() < LEAST_WEIGHT:
        raise InputError("Some hour of the week must have a weight above 0. Draw one.")
    rate = given.requests_per_day * np.mean(week) / part.mean()
    return make_traffic(
        Week(
            name="the Planner's week",
            requests_per_day=min(float(rate), 1e8),
            days=float(days),
            week=week,
            bursts=given.bursts,
            gaps=Gaps(variation=given.variation),
        )
    )


def fewer_days(week: list[float], days: int) -> list[float]:
    """Return a week that begins with `days` days, each the mean of those that are most like it in volume."""
    hours = np.asarray(week).reshape(7, 24)
    groups = np.array_split(np.argsort(hours.sum(axis=1), kind="stable"), days)
    means = np.stack([hours[group].mean(axis=0) for group in groups])
    return [float(weight) for weight in np.resize(means, (7, 24)).ravel()]


def traced(given: list[float]) -> Traffic:
    arrivals = np.sort(np.asarray(given, np.float64))
    check_arrivals(arrivals, Path("The trace"))
    span = max(math.ceil(arrivals[-1] / DAY), 1) * DAY
    facts = f"{arrivals.size:,} arrivals of the trace, taken as {span / DAY:g} days"
    return Traffic("trace", span, arrivals.size, rhythm_of(arrivals, span), facts, lambda seed: iter([arrivals]))
