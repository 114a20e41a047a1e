"""What a Cog server tells of a prediction, read as strictly as a caller's body."""

import json
from dataclasses import dataclass, field
from typing import Any

from easel.api.redaction import redact_queries
from easel.api.strict_json import MOST_ANSWER_VALUES, clean_texts, read_json
from easel.api.tables import FINAL
from easel.api.validation_images import VALIDATION_IMAGES, ValidationImage, read_validation_images

MOST_LOGS = 1_000_000  # characters; the rest of a log without end is not kept
MOST_ERROR = 10_000
MOST_METRICS, MOST_METRIC = 100, 1000  # how many, and the characters of a name or a value
PREVIEWS = "easel_previews"  # as inference/previews.py names them, in the context and in the metrics
MOST_PREVIEWS, MOST_PREVIEW, MOST_SIDE = 12, 200_000, 4096  # how many, characters of one, pixels
CUT = "\nWarning: the log is longer than 1 MB, and the rest of it is not kept.\n"


@dataclass(frozen=True)
class Preview:
    """Of image number `image`, which will have `width` x `height` pixels: base64 of a small WebP."""

    image: int
    width: int
    height: int
    data: str


@dataclass(frozen=True)
class Update:
    """`status` is None while it has not ended."""

    status: str | None = None
    logs: str = ""
    output: Any = None
    error: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    previews: list[Preview] = field(default_factory=list)
    validation_images: list[ValidationImage] = field(default_factory=list)


def parse_update(data: bytes, prediction_id: str) -> Update:
    """Return what a webhook of `prediction_id` says; blocking. Raises ValueError for what cannot be meant for it."""
    given = read_json(data, MOST_ANSWER_VALUES)
    if not isinstance(given, dict):
        raise ValueError("It is no object.")
    if given.get("id", prediction_id) != prediction_id:
        raise ValueError("It is of another prediction.")
    status, error = given.get("status"), given.get("error")
    return Update(
        status=status if isinstance(status, str) and status in FINAL else None,
        logs=read_text(given.get("logs"), MOST_LOGS, CUT),
        output=clean_texts(given.get("output")),
        error=read_text(error, MOST_ERROR) or None,
        metrics=read_metrics(given.get("metrics")),
        previews=read_previews(given.get("metrics")),
        validation_images=read_validation_images(given.get("metrics")),
    )


def read_text(value: Any, most: int, cut: str = "...") -> str:
    """Return what a model wrote, up to `most` characters, as a database can keep it; nothing if it is no text."""
    text = clean_texts(value) if isinstance(value, str) else ""
    return redact_queries(text if len(text) <= most else text[:most] + cut)


def read_metrics(value: Any) -> dict[str, Any]:
    """Return those that are short, as a model gives them, whatever else there is; `predict_time` only as seconds."""
    pairs = list(value.items())[:MOST_METRICS] if isinstance(value, dict) else []
    kept = [(name, one) for name, one in pairs if name not in (PREVIEWS, VALIDATION_IMAGES) and is_metric(name, one)]
    return {clean_texts(name): clean_texts(one) for name, one in kept}


def read_previews(metrics: Any) -> list[Preview]:
    """Return the previews among the metrics, up to the first that is none."""
    found = []
    given = metrics.get(PREVIEWS) if isinstance(metrics, dict) else None
    for one in given[:MOST_PREVIEWS] if isinstance(given, list) else []:
        match one:
            case {"image": int(image), "width": int(width), "height": int(height), "data": str(data)} if (
                0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE and len(data) <= MOST_PREVIEW
            ):
                found.append(Preview(image, width, height, data))
            case _:
                break
    return found


def is_metric(name: str, value: Any) -> bool:
    """Return whether it is short and, where a client counts with it, a number."""
    if name == "predict_time" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return False
    return len(name) <= MOST_METRIC and len(json.dumps(value)) <= MOST_METRIC
