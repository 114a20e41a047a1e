"""EASEL_MEMORY, EASEL_GO_FAST and EASEL_ATTENTION: each in an engine of its own, and the same image in any order."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from easel.inference.options import Options
from easel.request import Request
from gpu_check.context import Context, judge
from gpu_check.loaded import draw, new_engine, time_requests
from gpu_check.memory_limit import small_card
from gpu_check.requests import reference
from gpu_check.rows import Outcome

# What is left for tensors on a card of 16 and of 12 GiB: less the driver's share and CUDA's context.
SIXTEEN, TWELVE = 15.1e9, 11.5e9
GO_FAST_S = {"H100": 0.55}  # seconds an image: the goal


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    yield


def turns(context: Context, name: str) -> Outcome:
    return try_mode(context, name, Options(memory="turns"), exact=True, card=SIXTEEN)


def float8(context: Context, name: str) -> Outcome:
    return try_mode(context, name, Options(memory="float8"), exact=False, card=TWELVE)


def go_fast(context: Context, name: str) -> Outcome:
    return try_mode(context, name, Options(go_fast=True), exact=False, goals=GO_FAST_S)


def attention(context: Context, name: str) -> Outcome:
    return try_mode(context, name, Options(attention=True), exact=False)


def try_mode(
    context: Context,
    name: str,
    options: Options,
    exact: bool,
    card: float = float("inf"),
    goals: dict[str, float] | None = None,
) -> Outcome:
    """A, B, A; `exact`: A is the image of the server with all weights on the card. `goals` are seconds, by card."""
    cuda = context.device == "cuda"
    total = torch.cuda.get_device_properties(0).total_memory if cuda else float("inf")
    with small_card(context.device, min(card, total)):
        loaded = new_engine(context, options)
        try:
            asked = Request(**reference(context))
            other = Request(**reference(context) | {"prompt": "an old blue house"})
            first, _, again = (draw(loaded, one)[0] for one in (asked, other, asked))
            seconds = time_requests(context, loaded)
            peak = torch.cuda.max_memory_reserved() / 1e9 if cuda else None
        finally:
            loaded.outputs.root.cleanup()
            del loaded
            gc.collect()
    difference = distance(first, context.folder / "A.png")
    figures = {"seconds": seconds, "peak_gb": peak, "difference": difference}
    same = np.array_equal(first, again)
    card_name = torch.cuda.get_device_name() if cuda else ""
    goal = next((value for known, value in (goals or {}).items() if known in card_name), None)
    measured = f"{seconds:.3f} s" + (f", at most {peak:.1f} GB" if peak else "")
    measured += "; A is the same" if same else "; A is another image after B"
    if difference is not None:
        measured += f", {difference:.2f} of 255 from the exact one on average"
    wanted = "the same as with all on the card" if exact else "the same image in any order"
    wanted += f", at most {goal} s" if goal else ""
    good = same and not (exact and difference) and (goal is None or seconds <= goal)
    return judge(name, measured, wanted, good, **figures)


def distance(image: np.ndarray, path: Path) -> float | None:
    """Mean difference to an earlier image, None where there is none."""
    if not path.is_file():
        return None
    return float(np.abs(image.astype(int) - np.asarray(Image.open(path).convert("RGB"), dtype=int)).mean())
