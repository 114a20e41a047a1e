"""The headers that steer a prediction: `Prefer: wait[=n]` and `Cancel-After`."""

import re

from easel.api.problems import Problem

PREFER = re.compile(r"wait(?:=([1-9]|[1-9][0-9]|60))?")  # Replicate's own pattern; its text says 1 to 60, so 61 is 60
DEFAULT_WAIT_S = 60.0
MAX_WAIT_S = 60.0
DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", re.ASCII)
LONGEST_DEADLINE_S = 24 * 3600.0
SHORTEST_DEADLINE_S = 5.0  # Replicate's


def parse_prefer(value: str | None) -> float | None:
    """Return the seconds to hold a create back until it is done, 1 to 60; None: not at all. Raises Problem (400)."""
    waits = [part.strip() for part in (value or "").split(",") if part.strip().startswith("wait")]
    if not waits:
        return None  # `respond-async`, or a preference that is none of ours (RFC 7240: ignored)
    match = PREFER.fullmatch(waits[0])
    if not match:
        raise Problem(400, f"Prefer: {value!r} is not understood. Write wait or wait=n, with n from 1 to 60 seconds.")
    return min(float(match[1] or DEFAULT_WAIT_S), MAX_WAIT_S)


def parse_cancel_after(value: str | None) -> float | None:
    """Return the seconds that a prediction may live, from `30`, `90s`, `5m`, `1h30m45s`; 5 to 86,400.

    Raises Problem (400).
    """
    if value is None:
        return None
    match = DURATION.fullmatch(value.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not SHORTEST_DEADLINE_S <= total <= LONGEST_DEADLINE_S:
        raise Problem(
            400,
            f"Cancel-After: {value!r} is not a time of 5 seconds or more, up to 24 hours. Write 30s, 5m or 1h30m45s.",
        )
    return total
