"""Read a platform's prices anew where an account is: Modal's, by its own client."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easel.errors import EaselError, InputError
from easel.files import write_atomically
from easel.platforms.prices import DATA, Platform, load_platforms

UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
LARGEST_CHANGE = 2.0  # a price that seems to have changed by more is taken for another unit or another thing
SOURCE = "modal billing rates (Workspace.billing.rates)"


@dataclass(frozen=True)
class Change:
    """A card's US dollars a second as the file has them, and as the account says."""

    card: str
    before: float
    after: float


def read_modal_rates() -> Mapping[str, Any]:
    """Return the rates of the workspace of Modal's token. Raises InputError without the package, EaselError if refused.

    Not run on Modal: which names the rates have is not published, so `find_changes` looks for the cards in them.
    """
    try:
        import modal
    except ImportError:
        raise InputError("`easel prices refresh modal` needs modal: pip install 'easel[modal]'.") from None
    try:
        rates: Mapping[str, Any] = modal.Workspace.from_context().billing.rates()
        return dict(rates)
    except Exception as error:  # the client's own, of the network, or of gRPC
        raise EaselError(
            f"Modal gave no rates ({type(error).__name__}: {error}). `modal setup` signs this machine in."
        ) from None


def find_changes(platform: Platform, rates: Mapping[str, Any]) -> tuple[list[Change], list[str]]:
    """Return what changed, and the cards whose rate was not found. A rate's unit is told by the price that is known."""
    changes, missing = [], []
    for card, known in platform.cards.items():
        if not known.value:  # a processor without a card
            continue
        found = {rate for name, value in rates.items() if is_of(card, name) for rate in per_second(value, known.value)}
        if len(found) != 1:
            missing.append(card)
        elif (rate := found.pop()) != known.value:
            changes.append(Change(card, known.value, rate))
    return changes, missing


def is_of(card: str, name: str) -> bool:
    """Return whether a rate's name has the card's as a word: h100 is in "GPU_H100_hour", and not in "h100x"."""
    return re.search(rf"(?<![a-z0-9]){re.escape(plain(card))}(?![a-z0-9])", plain(name)) is not None


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"a100-?80-?gb", "a100-80gb", name.lower()))


def per_second(value: Any, known: float) -> list[float]:
    """Return the rate in US dollars a second, if one unit makes it like the known price; else nothing."""
    try:
        rates = [round(float(value) / seconds, 9) for seconds in UNITS.values()]
    except (TypeError, ValueError):
        return []
    return [rate for rate in rates if known / LARGEST_CHANGE <= rate <= known * LARGEST_CHANGE]


def write_changes(changes: list[Change], today: datetime.date, path: Path = DATA / "modal.yaml") -> None:
    """Write the new prices into the file; all else in it stays. Raises EaselError if it could not be read then."""
    text = before = path.read_text(encoding="utf-8")
    for change in changes:
        line = f"  {change.card}: {{value: {change.after:.9f}, source: {SOURCE}, date: {today}}}"
        text = re.sub(rf"^  {re.escape(change.card)}: \{{.*\}}$", line, text, count=1, flags=re.MULTILINE)
    write_text(path, text)
    try:
        cards = load_platforms([path.stem], path.parent)[0].cards
        if any(cards[change.card].value != change.after for change in changes):
            raise InputError("a price is not in it")
    except InputError as error:
        write_text(path, before)
        raise EaselError(f"{path} is as it was: with the new prices it could not be read ({error}).") from None


def write_text(path: Path, text: str) -> None:
    with write_atomically(path) as stream:
        stream.write(text.encode())
