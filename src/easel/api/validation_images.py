"""The images that a trainer tells of while it runs, as a Cog server gives them."""

from dataclasses import dataclass
from typing import Any

VALIDATION_IMAGES = "easel_validation_images"  # the metric, as training/validation.py names it
MOST, MOST_DATA, MOST_STEP, MOST_SIDE = 12, 40_000, 10_000_000, 4096  # images; characters, number and pixels of one
WEBP = "data:image/webp;base64,"


@dataclass(frozen=True)
class ValidationImage:
    """After `step` steps, of `width` x `height` pixels: base64 of a small WebP."""

    step: int
    width: int
    height: int
    data: str


def read_validation_images(metrics: Any) -> list[ValidationImage]:
    """Return those among the metrics of a Cog server, up to the first that is none."""
    found = []
    given = metrics.get(VALIDATION_IMAGES) if isinstance(metrics, dict) else None
    for one in given[:MOST] if isinstance(given, list) else []:
        match one:
            case {"step": int(step), "width": int(width), "height": int(height), "image": str(image)} if (
                0 <= step <= MOST_STEP
                and 0 < width <= MOST_SIDE
                and 0 < height <= MOST_SIDE
                and len(image) <= MOST_DATA
                and image.startswith(WEBP)
            ):
                found.append(ValidationImage(step, width, height, image.removeprefix(WEBP)))
            case _:
                break
    return found
