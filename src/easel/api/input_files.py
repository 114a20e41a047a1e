"""What a prediction's input brings as data URLs: files in the prediction's own folder, so that rows stay small."""

import json
from dataclasses import dataclass
from typing import Any

from easel.api.outputs import FILE, Outputs, extension_of, map_output
from easel.api.problems import Problem

LARGE_URL = 64_000  # characters; smaller ones stay where they are
MOST_TEXT = 256_000  # of the rest of an input, as JSON: rows are in memory while they wait, and in every list
PLACEHOLDER = "data:"


@dataclass(frozen=True)
class Size:
    """Of an input, in bytes: its row, and its files in the data folder."""

    row: int = 0
    files: int = 0


def keep_files(outputs: Outputs, prediction_id: str, given: dict[str, Any]) -> tuple[dict[str, Any], Size]:
    """Return `given` with {FILE: name} for each data URL of over 64 kB, which is on disk then, and its size; blocking.

    Raises Problem: 422 for one that is not base64 or looks like {FILE: name} itself, 413 for more than 256 kB of text.
    """
    count = total = 0

    def kept(value: Any, field: str) -> Any:
        nonlocal count, total
        if isinstance(value, list):
            return [kept(one, field) for one in value]
        if isinstance(value, dict):
            if FILE in value:
                raise Problem(422, f"- {field}: must not have a member {FILE!r}, which is the API's own\n")
            return {name: kept(one, field) for name, one in value.items()}
        if not isinstance(value, str) or len(value) <= LARGE_URL or not value.startswith("data:"):
            return value
        kind, comma, data = value.removeprefix("data:").partition(",")
        if not comma or not kind.endswith(";base64"):
            raise Problem(422, f"- {field}: a data URL of this size must be data:<type>;base64,<data>\n")
        name = f"in-{count}{extension_of(kind.partition(';')[0])}"
        try:
            total += outputs.put_base64(prediction_id, name, data)
        except ValueError:
            raise Problem(422, f"- {field}: the data URL is not base64\n") from None
        count += 1
        return {FILE: name}

    small = {name: kept(value, f"input.{name[:100]}") for name, value in given.items()}
    row = len(json.dumps(small))
    if row > MOST_TEXT:
        raise Problem(
            413,
            f"The input has {row / 1000:.0f} kB of text, and may have {MOST_TEXT // 1000}. Send files as data URLs "
            "in base64, or upload them to /v1/files.",
        )
    return small, Size(row, total)


def size_of(outputs: Outputs, prediction_id: str, given: dict[str, Any]) -> Size:
    """Return the size of an input that was kept before; blocking."""
    return Size(len(json.dumps(given)), outputs.size(prediction_id, "in-"))


def as_text(given: Any) -> Any:
    """Return an input as the schema sees it: a text for each file."""
    return map_output(given, lambda _: PLACEHOLDER)
