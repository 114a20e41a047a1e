"""What a workload costs and how long its requests take, on each platform and in each of its settings."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from easel.errors import InputError
from easel.platforms.fleet import MAX_INSTANCES
from easel.platforms.prices import Estimate, Platform, Setting
from easel.platforms.profile import Profile
from easel.platforms.simulate import Outcome, simulate
from easel.platforms.traffic import MONTH, Traffic

REPEATS = 2  # further seeds, to see how much chance does
BUSY = 0.9  # share of a fixed fleet's time that may be used in the busiest hour, on average
Progress = Callable[[float], object]


@dataclass(frozen=True)
class Row:
    """One setting of a platform: what happened with the likely figures, and what else may."""

    platform: Platform
    setting: Setting
    price: Estimate  # US dollars a second of an instance
    likely: Outcome
    swept: dict[str, tuple[Outcome, Outcome]] = field(default_factory=dict)  # an unknown at its low and high end
    repeats: tuple[Outcome, ...] = ()  # with other seeds

    @property
    def name(self) -> str:
        return f"{self.platform.title}, {self.setting.name}"

    def usd_per_month(self, outcome: Outcome | None = None, price: float | None = None) -> float:
        """Return the bill for an average month (30.44 days) of such traffic."""
        setting, platform, outcome = self.setting, self.platform, outcome or self.likely
        seconds: float = sum(getattr(outcome, f"{stage}_s") for stage in sorted(set(setting.billed)))
        used = seconds * (self.price.value if price is None else price) * MONTH / outcome.span_seconds
        credit = setting.credit_usd_per_month or platform.credit_usd_per_month
        return max(used - credit.value, 0.0) + (setting.usd_per_month or platform.usd_per_month).value

    def range_of(self, figure: Callable[[Outcome], float]) -> tuple[float, float]:
        """Return the least and the most that a figure becomes with the unknowns, one at a time, and the other seeds."""
        values = [figure(outcome) for outcome in self.outcomes()]
        return min(values), max(values)

    def outcomes(self) -> list[Outcome]:
        return [self.likely, *self.repeats, *(outcome for pair in self.swept.values() for outcome in pair)]

    def usd_range(self) -> tuple[float, float]:
        """Return the least and the most that a month costs, at the least and the most that a second costs."""
        low = self.range_of(lambda outcome: self.usd_per_month(outcome, self.price.least))[0]
        return low, self.range_of(lambda outcome: self.usd_per_month(outcome, self.price.most))[1]

    def usd_per_image(self) -> float:
        """Return the month's bill by its requests that ended well; infinite without one."""
        return self.usd_per_month() / self.images() if self.images() else math.inf

    def usd_per_image_range(self) -> tuple[float, float]:
        """Return the least and the most that an image costs, as `usd_range` of the month."""
        low, high = self.usd_range()
        return (low / self.images(), high / self.images()) if self.images() else (math.inf, math.inf)

    def images(self) -> float:
        """Return how many requests of a month end well."""
        return (self.likely.done - self.likely.failed) * MONTH / self.likely.span_seconds

    def shares(self) -> dict[str, float]:
        """Return the shares of the billed seconds, of those stages that are billed."""
        parts = {stage: getattr(self.likely, f"{stage}_s") for stage in self.setting.billed}
        total = sum(parts.values())
        return {stage: part / total if total else 0.0 for stage, part in parts.items()}

    def widest_unknown(self) -> tuple[str, float, float] | None:
        """Return the unknown that moves the bill most, and the bill at its two ends; None if none moves it by 1 %."""
        ends = [(name, self.usd_per_month(low), self.usd_per_month(high)) for name, (low, high) in self.swept.items()]
        widest = max(ends, key=lambda end: abs(end[2] - end[1]), default=None)
        return widest if widest and abs(widest[2] - widest[1]) > 0.01 * self.usd_per_month() else None

    def keeps_up(self) -> bool:
        """Return whether the fleet can do this work: all of it was done, and no queue was left to grow to the end."""
        late = 120 + min(3600.0, self.likely.span_seconds / 100)  # seconds: a cold start, and 1 % of a short span
        return self.likely.done == self.likely.requests and self.likely.last_end <= self.likely.span_seconds + late


def evaluate(
    platforms: Sequence[Platform],
    profile: Profile,
    traffic: Traffic,
    seed: int = 0,
    repeats: int = REPEATS,
    sweep: bool = True,
    progress: Progress = lambda count: None,
) -> list[Row]:
    """Return a row for each setting of each platform that has the profile's card. Raises InputError if none has it."""
    offered = [platform for platform in platforms if profile.hardware in platform.cards]
    if not offered:
        cards = sorted({card for platform in platforms for card in platform.cards})
        raise InputError(
            f"No platform has the card {profile.hardware!r} of this profile: there are {', '.join(cards)}."
        )
    pairs = [(one, setting) for one in offered for setting in settings_of(one, profile, traffic)]
    cases, owners = [], []
    for place, (platform, setting) in enumerate(pairs):
        weights = profile.weights_bytes.value or 0.0
        cases.append(platform.case(setting, profile.setup_seconds, weights))
        owners.append((place, "", 0))
        for name in platform.unknowns() if sweep else []:
            for end, value in enumerate((getattr(platform, name).least, getattr(platform, name).most)):
                changed = platform.case(setting, profile.setup_seconds, weights, **{name: value})
                if changed != cases[owners.index((place, "", 0))]:
                    cases.append(changed)
                    owners.append((place, name, end))
    outcomes = dict(zip(owners, simulate(traffic, profile, cases, seed, progress), strict=True))
    likely = [case for case, (_, name, _) in zip(cases, owners, strict=True) if not name]
    again = [simulate(traffic, profile, likely, seed + 1 + k, progress) for k in range(repeats)]
    rows = []
    for place, (platform, setting) in enumerate(pairs):
        first = outcomes[place, "", 0]
        swept = {
            name: (outcomes.get((place, name, 0), first), outcomes.get((place, name, 1), first))
            for name in platform.unknowns()
            if (place, name, 0) in outcomes or (place, name, 1) in outcomes
        }
        price = platform.price(profile.hardware)
        rows.append(Row(platform, setting, price, first, swept, tuple(other[place] for other in again)))
    return rows


def settings_of(platform: Platform, profile: Profile, traffic: Traffic) -> list[Setting]:
    """Return the platform's settings; where the number of instances is fixed, a few numbers that fit the load."""
    if not platform.sized:
        return platform.settings
    run = profile.run_seconds.average()
    mean, peak = traffic.requests / traffic.span_seconds * run, float(traffic.rhythm.max()) * run
    least, most = math.ceil(mean / BUSY), math.ceil(peak / BUSY)
    sizes = {least + math.ceil((most - least) * step / 4) for step in range(5)} | {most + 1, most + 2, 2 * most}
    return [
        setting.model_copy(update={"name": counted(size), "min_instances": size, "max_instances": size})
        for setting in platform.settings
        for size in sorted({min(max(one, 1), MAX_INSTANCES) for one in sizes})
    ]


def counted(cards: int) -> str:
    return "1 card" if cards == 1 else f"{cards} cards"


def cheapest(rows: Sequence[Row], p95_seconds: float) -> Row | None:
    """Return the cheapest setting whose 95th percentile of latency is at most this, None if there is none."""
    good = [row for row in rows if row.keeps_up() and row.likely.latency[1] <= p95_seconds]
    return min(good, key=Row.usd_per_month, default=None)


def utilisation_to_beat(usd_per_second: float, profile: Profile, usd_per_image: float) -> float:
    """Return the share of a card's time in which it must draw for an image to cost what a host asks; above 1: never."""
    return usd_per_second * profile.run_seconds.average() / usd_per_image
