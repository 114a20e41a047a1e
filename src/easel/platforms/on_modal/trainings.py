"""One training of the app: the inputs of train.py as Python values, answered by files and metrics."""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.logs import log
from easel.models import Model
from easel.platforms.on_modal.calls import read_data_url
from easel.training.kept import kept_folder
from easel.training.run import train_lora
from easel.training.settings import make_settings
from easel.training.source import local_dataset


def answer_training(inputs: Mapping[str, Any], model: Model, environ: Mapping[str, str], place: Path) -> dict[str, Any]:
    """Return {"files": {name: bytes}, "metrics": {name: value}}: the tar of all, and the LoRA alone.

    `input_images` is the bytes of an archive, a data: URL or an https:// address. What was done in `place` by a
    container that was taken away is gone on with. Raises EaselError.
    """
    with ExitStack() as stack:
        images = open_images(inputs.get("input_images"), stack)
        settings = make_settings({**inputs, "input_images": images}, model)
        result = train_lora(settings, model, environ, stack.enter_context(kept_folder(place, settings, model)))
        files = {path.name: path.read_bytes() for path in (result.weights, result.lora)}
        return {"files": files, "metrics": asdict(result.metrics)}


def open_images(value: Any, stack: ExitStack) -> Path:
    """Return a file with what `value` holds or names, until `stack` ends."""
    if isinstance(value, str) and value.startswith("data:"):
        value = read_data_url("input_images", value)
    elif isinstance(value, str) and value.startswith("https://"):
        return stack.enter_context(local_dataset(value, log))
    if not isinstance(value, bytes):
        raise InputError("input_images must be the bytes of an archive, a data: URL or an https:// address.")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="easel-")))
    path = folder / "input_images"
    path.write_bytes(value)
    return path
