"""A trainer for tests: it takes as long as it is told to, and its weights name its process and hold its images."""

import base64
import io
import os
import sys
import tempfile
import time
from pathlib import Path as LocalPath

from cog import BaseModel, Input, Path, current_scope
from PIL import Image

SHOWN = 3  # validation images, one after each of the first steps


class TrainingOutput(BaseModel):
    weights: Path


def image(step: int) -> dict[str, int | str]:
    """Return what Easel's trainer tells of a validation image: the redder, the later."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (100 * step, 0, 0)).save(file, "WEBP")
    data = base64.b64encode(file.getvalue()).decode()
    return {"step": step, "width": 640, "height": 480, "image": f"data:image/webp;base64,{data}"}


def train(
    input_images: Path = Input(description="Stands in the weights."),
    trigger_word: str = Input(default="TOK", description="Stands nowhere."),
    steps: int = Input(default=2, ge=1, le=10000, description="Each takes a tenth of a second."),
    end: str = Input(default="well", choices=["well", "failed", "dead"], description="How it ends."),
) -> TrainingOutput:
    """Write a file of weights."""
    sys.stdout.write(f"process {os.getpid()}\n")
    for step in range(steps):
        if step < SHOWN:
            current_scope().record_metric("easel_validation_images", [image(k) for k in range(step + 1)])
        sys.stdout.write(
            f"{100 * step // steps:3d}%|     | {step}/{steps} [00:00<00:00, 9.9it/s, loss={1 / (1 + step):.4f}]\n"
        )
        time.sleep(0.1)
    if end == "failed":
        raise ValueError("InputError: input_images: it was told to fail")
    if end == "dead":
        os._exit(9)
    path = LocalPath(tempfile.mkdtemp()) / "weights.tar"
    path.write_bytes(f"{os.getpid()} ".encode() + input_images.read_bytes())
    return TrainingOutput(weights=Path(path))
