"""Platforms: their prices and scaling rules, each figure with its source and date, as `data/*.yaml` has them."""

import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from easel.errors import InputError
from easel.platforms.files import Strict, read_yaml
from easel.platforms.fleet import MAX_INSTANCES, Rules
from easel.platforms.profile import Figure, Text
from easel.platforms.simulate import Case

DATA = Path(__file__).parent / "data"
STALE_DAYS = 365
UNKNOWNS = ("idle_seconds", "boot_seconds", "fetch_bytes_per_second", "waiting_per_slot", "losses_per_day")
Stage = Literal["setup", "idle", "active"]


class Estimate(Strict):
    """A figure: `value`, and from `low` to `high` where it is not known exactly. `date`: when the source was read."""

    value: Annotated[float, Field(ge=0)]
    low: Annotated[float, Field(ge=0)] | None = None
    high: Annotated[float, Field(ge=0)] | None = None
    source: Text
    date: datetime.date

    @model_validator(mode="after")
    def check_order(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("write both low and high, or neither")
        if not self.least <= self.value <= self.most:
            raise ValueError(f"value {self.value} must be from low {self.low} to high {self.high}")
        return self

    @property
    def least(self) -> float:
        return self.value if self.low is None else self.low

    @property
    def most(self) -> float:
        return self.value if self.high is None else self.high

    def is_stale(self, today: datetime.date) -> bool:
        """Return whether the source was read over a year ago."""
        return (today - self.date).days > STALE_DAYS


class Setting(Strict):
    """One way to run a model on a platform. `billed`: which parts of an instance's time cost money.

    `setup_seconds` replaces the profile's and the platform's boot and fetch, where another way to start is published.
    `usd_per_month` and `credit_usd_per_month` replace the platform's, for another plan.
    """

    name: Text
    min_instances: Annotated[int, Field(ge=0, le=MAX_INSTANCES)] = 0
    max_instances: Annotated[int, Field(ge=1, le=MAX_INSTANCES)]
    buffer: Annotated[int, Field(ge=0, le=100)] = 0
    slots: Annotated[int, Field(ge=1, le=64)] = 1
    billed: list[Stage]
    setup_seconds: Figure | None = None
    usd_per_month: Estimate | None = None
    credit_usd_per_month: Estimate | None = None


class Platform(Strict):
    """A place to run a model. Prices are in US dollars; `cards` has those of a second of one card, by its name.

    `host_usd_per_second`: processor and memory beside the card, where they cost extra. `usd_per_month` is a fee and
    `credit_usd_per_month` what of the bill is free. `boot_seconds`: from the decision to start an instance until its
    process runs. `fetch_bytes_per_second`: how fast a new instance gets the weights. `waiting_per_slot`: so many
    waiting requests ask for one more slot. `losses_per_day`: how often an instance is taken away. `sized`: the number
    of instances is fixed, and each setting stands for some that fit the load.
    """

    name: Text
    title: Text
    cards: Annotated[dict[str, Estimate], Field(min_length=1)]
    host_usd_per_second: Estimate
    usd_per_month: Estimate
    credit_usd_per_month: Estimate
    idle_seconds: Estimate
    boot_seconds: Estimate
    fetch_bytes_per_second: Estimate
    waiting_per_slot: Estimate
    losses_per_day: Estimate
    sized: bool = False
    settings: Annotated[list[Setting], Field(min_length=1, max_length=20)]
    notes: list[Text] = Field(default_factory=list)

    def unknowns(self) -> list[str]:
        """Return the names of the scaling figures that are known as ranges only."""
        return [name for name in UNKNOWNS if getattr(self, name).least < getattr(self, name).most]

    def price(self, card: str) -> Estimate:
        """Return US dollars a second of an instance. Raises InputError for a card that is not offered."""
        if card not in self.cards:
            raise InputError(f"{self.title} has no {card}: it has {', '.join(sorted(self.cards))}.")
        one, host = self.cards[card], self.host_usd_per_second
        low, high = one.least + host.least, one.most + host.most
        return Estimate(value=one.value + host.value, low=low, high=high, source=one.source, date=one.date)

    def case(self, setting: Setting, setup: Figure, weights_bytes: float, **changed: float) -> Case:
        """Return what to simulate; `changed` replaces one of UNKNOWNS."""
        figures = {name: changed.get(name, getattr(self, name).value) for name in UNKNOWNS}
        rules = Rules(
            min_instances=setting.min_instances,
            max_instances=setting.max_instances,
            buffer=setting.buffer,
            slots=setting.slots,
            idle_seconds=figures["idle_seconds"],
            waiting_per_slot=max(round(figures["waiting_per_slot"]), 1),
            losses_per_second=figures["losses_per_day"] / 86400,
        )
        if setting.setup_seconds is not None:
            return Case(rules, setting.setup_seconds)
        fetch = weights_bytes / figures["fetch_bytes_per_second"] if figures["fetch_bytes_per_second"] else 0.0
        return Case(rules, setup, figures["boot_seconds"] + fetch)


class ListPrice(Strict):
    """What a host asks for one image of a model."""

    host: Text
    usd_per_image: Estimate


class ListPrices(Strict):
    prices: list[ListPrice]


def load_platforms(names: list[str] | None = None, folder: Path = DATA) -> list[Platform]:
    """Return the platforms of a folder, or those named. Raises InputError for a file or a name that is wrong."""
    known = {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.stem != "list-prices"}
    if wrong := [name for name in names or [] if name not in known]:
        raise InputError(f"There is no platform {wrong[0]!r}: there are {', '.join(known)}.")
    return [read_yaml(known[name], Platform) for name in (names or known)]


def load_list_prices(folder: Path = DATA) -> list[ListPrice]:
    return read_yaml(folder / "list-prices.yaml", ListPrices).prices
