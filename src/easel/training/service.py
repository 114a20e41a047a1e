"""Trainings for Cog, one after another: inputs in, a tar out. What guards them is set up once, before the first."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from easel.errors import InputError
from easel.files import disk_errors
from easel.inference.cog_downloads import guard_downloads
from easel.inference.startup import allow_loopback
from easel.inference.temp_files import TempFiles, Uploads
from easel.models import DEFAULT_MODEL, load_model
from easel.net.guard import Network
from easel.training.kept import kept_folder
from easel.training.run import train_lora
from easel.training.settings import make_settings
from easel.training.source import FETCH_S, MAX_FETCHED
from easel.training.validation import Record
from easel.weights.store import WeightPaths


class TrainingService:
    """Trains the model that EASEL_MODEL names, from its folder in `models`; `cog_types` is the module `cog.types`."""

    def __init__(self, models: Path, environ: Mapping[str, str], cog_types: ModuleType) -> None:
        self._environ = environ
        self._model = load_model(models / (environ.get("EASEL_MODEL") or DEFAULT_MODEL))
        self._uploads, self._outputs = Uploads(), TempFiles()
        network = Network(allow_loopback=allow_loopback(environ), total_s=FETCH_S)
        guard_downloads(cog_types, network, self._uploads, label="input_images", max_bytes=MAX_FETCHED)

    def answer(self, inputs: Mapping[str, Any], record: Record) -> Path:
        """Return the tar of a training, and give its metrics to `record`, validation images as they come.

        One that is cancelled or killed goes on, with the same inputs, from its last checkpoint. Raises EaselError.
        """
        self._outputs.clear()
        images = inputs["input_images"]
        if not isinstance(images, Path) or images.parent != Path(tempfile.gettempdir()):
            raise InputError("input_images must be an https:// address or a data: URL of an archive.")
        self._uploads.clear(keep=(images,))
        settings = make_settings(inputs, self._model)
        place = WeightPaths.from_environ(self._environ).cache / "trainings"
        with kept_folder(place, settings, self._model) as folder:
            result = train_lora(settings, self._model, self._environ, folder, record)
            for name, value in asdict(result.metrics).items():
                record(name, value)
            with self._outputs.new_folder() as outputs, disk_errors(outputs):
                return Path(shutil.move(result.weights, outputs))
