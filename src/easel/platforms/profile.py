"""A workload's profile: how long a model takes to be ready and to draw, and where each figure comes from."""

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from easel.platforms.files import Strict

Z_95 = 1.6448536269514722  # the standard normal distribution's 95th percentile
Origin = Literal["measured", "published", "computed", "assumed"]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


class Figure(Strict):
    """Seconds (or bytes, or a rate) as a distribution, in one of four forms.

    `value`: always the same. `mean`: exponential. `median` and `p95`: lognormal through these two percentiles.
    `samples`: each of the measured values with the same probability.
    """

    value: Annotated[float, Field(ge=0)] | None = None
    mean: Annotated[float, Field(gt=0)] | None = None
    median: Annotated[float, Field(gt=0)] | None = None
    p95: Annotated[float, Field(gt=0)] | None = None
    samples: Annotated[list[float], Field(min_length=1, max_length=100_000)] | None = None
    origin: Origin
    source: Text

    @model_validator(mode="after")
    def check_form(self) -> Self:
        given = {name for name in ("value", "mean", "median", "p95", "samples") if getattr(self, name) is not None}
        if given not in ({"value"}, {"mean"}, {"median", "p95"}, {"samples"}):
            raise ValueError("write either value, or mean, or median and p95, or samples")
        if self.median is not None and self.p95 is not None and self.p95 < self.median:
            raise ValueError("p95 must not be below median")
        if self.samples is not None and min(self.samples) < 0:
            raise ValueError("samples must not be negative")
        return self

    def average(self) -> float:
        """Return the distribution's mean. Lognormal: exp(mu + sigma^2 / 2)."""
        if self.median is not None:
            return self.median * math.exp(self.sigma() ** 2 / 2)
        if self.samples is not None:
            return math.fsum(self.samples) / len(self.samples)
        return (self.value if self.value is not None else self.mean) or 0.0

    def sigma(self) -> float:
        """Return the standard deviation of the logarithm: the 95th percentile is median * exp(1.645 sigma)."""
        return math.log((self.p95 or 1) / (self.median or 1)) / Z_95

    def draw(self, generator: np.random.Generator, count: int) -> Floats:
        """Return `count` independent values, float64."""
        if self.median is not None:
            return generator.lognormal(math.log(self.median), self.sigma(), count)
        if self.samples is not None:
            return np.asarray(self.samples, np.float64)[generator.integers(len(self.samples), size=count)]
        if self.mean is not None:
            return generator.exponential(self.mean, count)
        return np.full(count, self.value, np.float64)


NEVER = Figure(value=0.0, origin="assumed", source="no failure was seen or published")


class Profile(Strict):
    """What a simulation must know of a model on a kind of card.

    `setup_seconds`: from the process's start until it is ready, with the weights on a local disk. `first_run_seconds`:
    the first request of a process, which is not drawn shorter than another one. `run_seconds`: every later one.
    `weights_bytes`: what a new machine fetches first.
    `run_failures` and `setup_failures`: probabilities, 0 to 1. `hardware`: a card of platforms/data, such as l40s.
    """

    name: Text
    model: Text
    hardware: Text
    setup_seconds: Figure
    first_run_seconds: Figure
    run_seconds: Figure
    weights_bytes: Figure
    run_failures: Figure = NEVER
    setup_failures: Figure = NEVER

    @model_validator(mode="after")
    def check_values(self) -> Self:
        for name in ("run_failures", "setup_failures", "weights_bytes"):
            figure: Figure = getattr(self, name)
            if figure.value is None:
                raise ValueError(f"{name} must be one value")
            if name != "weights_bytes" and figure.value >= 1:
                raise ValueError(f"{name} must be below 1, not {figure.value}")
        return self
