"""Previews: small images of what a request's latents are becoming, given away while they are denoised.

They leave as a metric, since Cog's server tells all metrics with each line of the log: docs/openai.md says why.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from easel.models import Model
from easel.plan import Plan

CONTEXT, METRIC = "easel_previews", "easel_previews"  # in a request's `context`, a number; in its metrics, the previews
MOST = 3  # of one image; OpenAI's
LONGEST = 256  # pixels of a side: all of a request's previews go along with each line of its log
QUALITY = 90  # of WebP

ToImage = Callable[[torch.Tensor], Image.Image]


def count_in(context: Mapping[str, str]) -> int:
    """Return how many previews of each image a request's context asks for, 0 to 3."""
    text = context.get(CONTEXT, "0")
    return int(text) if text in map(str, range(MOST + 1)) else 0


def preview_steps(count: int, passes: int) -> set[int]:
    """Return after which of `passes` steps, counted from 1, a preview is made: spread evenly, never the last.

    Fewer than `count` where there are too few steps; none after the first one, since an estimate needs two.
    """
    steps = {-(-passes * k // (count + 1)) for k in range(1, count + 1)}
    return {step for step in steps if 1 < step < passes}


class Previews:
    """Tells the previews of a request's images through `record`."""

    def __init__(self, count: int, plan: Plan, to_image: ToImage, record: Callable[[str, Any], None]) -> None:
        self._steps = preview_steps(count, plan.passes)
        self._to_image, self._record = to_image, record
        self._size = {"width": plan.width, "height": plan.height}
        self._image = -1
        self._before: torch.Tensor | None = None
        self._told: list[dict[str, Any]] = []

    def after(self, step: int, scheduler: Any, latents: torch.Tensor) -> None:
        """Note the `latents` after `step`, the first being 1, with which the next image begins.

        A flow model's step goes from x to x + (s' - s) v, so that two of them give v and with it the estimate x - s v
        of the image without noise (s: the scheduler's sigma).
        """
        self._image += step == 1
        if step in self._steps and self._before is not None:
            last, sigma = (float(scheduler.sigmas[scheduler.step_index - k]) for k in (1, 0))
            velocity = (latents - self._before) / (sigma - last)
            file = io.BytesIO()
            self._to_image(latents - sigma * velocity).save(file, "WEBP", quality=QUALITY)
            data = base64.b64encode(file.getvalue()).decode()
            self._told.append({"image": self._image, **self._size, "data": data})
            self._record(METRIC, list(self._told))
        self._before = latents if step + 1 in self._steps else None


def load_to_image(model: Model, device: torch.device) -> ToImage | None:
    """Return what makes an image of latents (1, channels, height / 8, width / 8), or None where the model has nothing
    for it.
    """
    settings = model.preview or {}
    if (linear := model.folder / settings.get("linear", "")).is_file():
        return read_linear(linear)
    if not (folder := model.folder / settings.get("autoencoder", "-")).is_dir():
        return None
    tiny = AutoencoderTiny.from_pretrained(folder, local_files_only=True).to(device).eval()

    def decode(latents: torch.Tensor) -> Image.Image:
        with torch.inference_mode():
            pixels = tiny.decode(latents.to(tiny.device, tiny.dtype), return_dict=False)[0]
        image = as_image((pixels[0].permute(1, 2, 0) + 1) / 2)
        image.thumbnail((LONGEST, LONGEST))
        return image

    return decode


def read_linear(path: Path) -> ToImage:
    """Return the map of a file {"weights": one [red, green, blue] for each channel, "bias": [red, green, blue]}, which
    gives 0 to 1.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    weights, bias = (torch.tensor(values[name], dtype=torch.float32) for name in ("weights", "bias"))

    def to_image(latents: torch.Tensor) -> Image.Image:
        return as_image(latents[0].float().cpu().permute(1, 2, 0) @ weights + bias)

    return to_image


def as_image(pixels: torch.Tensor) -> Image.Image:
    """Return pixels (height, width, 3) of 0 to 1 as an image."""
    return Image.fromarray((pixels.float().clamp(0, 1) * 255).round().cpu().numpy().astype(np.uint8))
