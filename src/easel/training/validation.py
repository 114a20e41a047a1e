"""Validation images: drawn while a training runs, kept in its folder, and told of as they come.

They leave as a metric, since Cog's server tells all metrics with each line of the log. docs/fine-tuning.md has its
form.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from easel.files import disk_errors, write_atomically
from easel.logs import log

IMAGES = "validation"  # the folder, in that of the training and in the tar
COUNT = 10  # of a training, at equal distances, and one before the first step
METRIC = "easel_validation_images"
# Pixels of the longer side of what is told: the first at which the file is small enough. All of a training's images go
# along with each line of its log: eleven of the largest are 176 kB in base64.
SIDES = (256, 192, 128, 96, 64)
MOST_BYTES = 12_000
QUALITY = 80  # of WebP

Record = Callable[[str, Any], None]  # of a metric's name and value


class ValidationImages:
    """Those of the training that works in `folder` and takes so many `steps`; `record` gets the metric."""

    def __init__(self, folder: Path, steps: int, record: Record | None = None) -> None:
        self._folder, self._steps, self._record = folder / IMAGES, steps, record
        self._told: list[dict[str, Any]] = []

    def resume(self, done: int) -> None:
        """Tell of the images up to step `done`, where the training goes on; remove those of another training."""
        with disk_errors(self._folder):
            for path in sorted(self._folder.glob(f"step-{'[0-9]' * 5}.png")):
                step = int(path.stem.removeprefix("step-"))
                if not done or step > done or not self._take(step, path):
                    path.unlink()
        self._tell()

    def _take(self, step: int, path: Path) -> bool:
        try:
            with Image.open(path) as image:
                self._told.append(entry(step, image))
        except OSError:  # of a machine that went off: the file was never synced
            return False
        return True

    def is_due(self, step: int) -> bool:
        """Return whether there is to be one after this step, 0 being before the first, and is not yet."""
        is_planned = step * COUNT // self._steps != (step - 1) * COUNT // self._steps
        return is_planned and not self._path(step).exists()

    def add(self, step: int, image: Image.Image) -> None:
        """Keep the image and tell of it. Raises ResourceError."""
        path = self._path(step)
        with disk_errors(path), write_atomically(path, sync=False) as stream:
            image.save(stream, "PNG")
        self._told.append(entry(step, image))
        self._tell()
        log(f"training: validation image of step {step}: {IMAGES}/{path.name}")

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:05}.png"

    def _tell(self) -> None:
        if self._record and self._told:
            self._record(METRIC, list(self._told))


def entry(step: int, image: Image.Image) -> dict[str, Any]:
    """Return what the metric says of an image: its step and size, and a small one as a data: URL."""
    data = base64.b64encode(small_webp(image)).decode()
    return {"step": step, "width": image.width, "height": image.height, "image": f"data:image/webp;base64,{data}"}


def small_webp(image: Image.Image) -> bytes:
    """Return the image, made smaller, as a WebP of at most 12,000 bytes."""
    content = b""
    for side in SIDES:
        small = image.convert("RGB")
        small.thumbnail((side, side))
        file = io.BytesIO()
        small.save(file, "WEBP", quality=QUALITY)
        content = file.getvalue()
        if len(content) <= MOST_BYTES:
            break
    return content
