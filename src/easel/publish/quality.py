"""How far images are from the exact ones: PSNR, LPIPS, and a page to look at."""

import html
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageStat

from easel.logs import first_line
from easel.publish.contact_sheet import figure, write_page

EQUAL_DB = 99.0  # what equal images count as
# Of go_fast, on average over at least 20 prompts. The gate of vLLM-Omni for this model's float8 is 0.129 (its #3929).
LPIPS_LIMIT = 0.10
Metric = Callable[[Image.Image, Image.Image], float]


@dataclass(frozen=True)
class Pair:
    """One prompt's exact image and the other one, as files; `psnr` in dB, `lpips` None where it was not measured."""

    prompt: str
    exact: Path
    other: Path
    psnr: float
    lpips: float | None


def compare_images(
    prompts: Sequence[str], exact: Sequence[Path], others: Sequence[Path], lpips: Metric | None
) -> list[Pair]:
    pairs = []
    for prompt, one, other in zip(prompts, exact, others, strict=True):
        a, b = (Image.open(path).convert("RGB") for path in (one, other))
        pairs.append(Pair(prompt, one, other, psnr(a, b), lpips(a, b) if lpips else None))
    return pairs


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Return the peak signal-to-noise ratio in dB of two RGB images of one size."""
    error = sum(value**2 for value in ImageStat.Stat(ImageChops.difference(a, b)).rms) / 3
    return 10 * math.log10(255**2 / error) if error else EQUAL_DB


def load_lpips() -> tuple[Metric | None, str]:
    """Return LPIPS by AlexNet (arXiv 1801.03924), of the package lpips; None and why where it cannot be had."""
    try:
        lpips: Any = importlib.import_module("lpips")  # not required: it is for this command alone
        model: Any = lpips.LPIPS(net="alex", verbose=False).eval()
    except Exception as error:  # the package, or the network's weights, which it fetches
        return None, f"LPIPS is not measured ({first_line(error)}): pip install lpips, with a network for its weights."

    def measure(a: Image.Image, b: Image.Image) -> float:
        numpy: Any = importlib.import_module("numpy")
        return float(model(*(lpips.im2tensor(numpy.asarray(image)) for image in (a, b))).detach())

    return measure, ""


def write_comparison(path: Path, title: str, facts: Sequence[str], pairs: Sequence[Pair]) -> None:
    """Write one HTML page with both images of each prompt side by side, the farthest pair first."""
    sections = []
    for pair in sorted(pairs, key=lambda pair: (-(pair.lpips or 0), pair.psnr)):
        measured = f"{pair.psnr:.1f} dB" + (f", LPIPS {pair.lpips:.3f}" if pair.lpips is not None else "")
        sections.append(
            f'<section>\n<h2>{html.escape(pair.prompt)}</h2>\n<p>{measured}</p>\n<div class="pair">\n'
            f"{figure('exact', pair.prompt, [pair.exact], pair.exact.name)}\n"
            f"{figure('other', pair.prompt, [pair.other], pair.other.name)}\n</div>\n</section>\n"
        )
    write_page(path, title, facts, "".join(sections))
