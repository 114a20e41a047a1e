"""The schema of the tree against the one that is live: what breaks whom, and all that differs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from easel.publish.callers import KNOWN, CallerLine, find_lines
from easel.schema.compat import Break, breaking_changes, find_breaks, inputs_of

SHOWN = ("default", "description", "minimum", "maximum", "minLength", "maxLength", "deprecated")


@dataclass(frozen=True)
class Comparison:
    """`version` is the live one, None where there is none yet. `lines` has those of the callers for each break."""

    version: str | None = None
    breaks: tuple[Break, ...] = ()
    lines: dict[str, list[CallerLine]] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def differences(self) -> list[str]:
        return [f"breaks callers: {change}" for change in self.breaks] + list(self.others)


def compare(
    version: str | None, live: dict[str, Any] | None, ours: dict[str, Any], callers: Sequence[tuple[str, str]]
) -> Comparison:
    if live is None:
        return Comparison(version)
    breaks = tuple(find_breaks(live, ours))
    lines = {str(change): find_lines(change, callers) for change in breaks}
    return Comparison(version, breaks, lines, tuple(compatible_changes(live, ours)))


def compatible_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what differs and breaks nobody."""
    before, after = inputs_of(old), inputs_of(new)
    broken = {str(change) for change in find_breaks(old, new)}
    changes = [f"{name}: a new input" for name in after if name not in before]
    for name in after:
        if name not in before:
            continue
        was, now = before[name], after[name]
        changes += [
            f"{name}: another description"
            if key == "description"
            else f"{name}: {key} was {was.get(key, 'open')!r} and is {now.get(key, 'open')!r}"
            for key in SHOWN
            if was.get(key) != now.get(key) and not any(text.startswith(f"{name}: {key} was") for text in broken)
        ]
        changes += [
            f"{name}: the new choice {choice!r}"
            for choice in now.get("enum", [])
            if "enum" in was and choice not in was["enum"]
        ]
    return [change for change in changes if f"{change.split(':')[0]}: a new input is required" not in broken]


def same_contract(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether a caller of one may call the other, both ways."""
    return not breaking_changes(one, other) and not breaking_changes(other, one)


def describe_breaks(comparison: Comparison) -> str:
    """Return every break with the lines of the callers that it stops."""
    told = []
    for change in comparison.breaks:
        told.append(f"  {change}")
        lines = comparison.lines[str(change)]
        told += [f"    {line}" for line in lines]
        if not lines:
            whose = "every caller that does not send it" if change.kind == "required" else "callers elsewhere"
            told.append(f"    no line of the callers that were searched; {whose} may break")
    return "\n".join([*told, f"  Searched: {', '.join(KNOWN)} and what --callers names."])
