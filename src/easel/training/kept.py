"""Where a training works whose caller names no folder: one for these inputs, so that the same ones go on from there."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from easel.errors import InputError
from easel.files import disk_errors, single_instance_lock
from easel.models import Model
from easel.training.settings import TrainingSettings
from easel.weights.manifest import digest_of

LOCK = ".lock"  # held while a training works in its folder


@contextmanager
def kept_folder(place: Path, settings: TrainingSettings, model: Model) -> Iterator[Path]:
    """Give the folder of this training in `place`. It goes when the training is done, and stays when it is not.

    Of those the newest alone is kept, for a checkpoint may have a gigabyte, and whatever another process works in.
    Raises ResourceError.
    """
    values = asdict(settings) | {"input_images": digest_of(settings.input_images), "model": model.name}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    folder = place / key
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.iterdir():
            if other != folder:
                remove_unless_busy(other)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def remove_unless_busy(folder: Path) -> None:
    with suppress(InputError), single_instance_lock(folder / LOCK, ""):
        shutil.rmtree(folder, ignore_errors=True)
