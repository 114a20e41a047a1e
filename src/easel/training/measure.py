"""How far two images are from each other, by a measure that has a source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

POOLED_SIDE = 16


@dataclass(frozen=True)
class Measure:
    """`embed` gives one row of numbers for each square image; `distance` is that of rows (N, D) and (M, D): (N, M).

    0 is the same image. `name` is for programs; `what` is a sentence for people, with the source; `digits` are the
    decimals that mean anything.
    """

    name: str
    what: str
    digits: int
    embed: Callable[[Sequence[Image.Image]], np.ndarray]
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]


def pooled_measure(why: str = "") -> Measure:
    """Return the distance by which recipes/emoji/evaluate.py tells whether the emoji model draws what it is asked for.

    `why` says why it is not the one that the model's model.yaml names.
    """
    what = (
        f"Root mean square difference of the two images, average-pooled to {POOLED_SIDE} x {POOLED_SIDE} pixels, 0 to "
        "255: the measure of recipes/emoji/evaluate.py. It sees colours and where they are, and no meaning."
    )
    return Measure("pooled_rms", f"{what} {why}".strip(), 1, pooled_rows, rms)


def pooled_rows(images: Sequence[Image.Image]) -> np.ndarray:
    return np.concatenate([pool(np.asarray(image)[None]) for image in images])


def pool(images: np.ndarray, grid: int = POOLED_SIDE) -> np.ndarray:
    """Average-pool images (N, H, W, 3) to (N, grid * grid * 3) float32, the space in which images are compared.

    H and W are divisible by `grid`.
    """
    count, height, width, _ = images.shape
    blocks = images.reshape(count, grid, height // grid, grid, width // grid, 3).astype(np.float32)
    pooled: np.ndarray = blocks.mean(axis=(2, 4)).reshape(count, -1)
    return pooled


def rms(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the root mean square difference of each row (N, D) and each other (M, D): (N, M)."""
    found: np.ndarray = np.sqrt(np.stack([((others - row) ** 2).mean(axis=1) for row in rows]))
    return found


def cosine_distance(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return 1 - cosine similarity of each row (N, D) and each other (M, D): (N, M)."""
    units = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (rows, others)]
    found: np.ndarray = 1 - units[0] @ units[1].T
    return found
