"""A training as the arguments of a process of its own: checked before torch is imported, and read there."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easel.logs import log
from easel.models import DEFAULT_MODEL, Model, load_model
from easel.training.settings import TrainingSettings, cast_inputs, make_settings
from easel.training.source import local_dataset

MODULE = "easel.training"


@dataclass(frozen=True)
class Job:
    """`inputs` by their names, `input_images` a path or an address; `model` and `output` are folders."""

    model: Path
    inputs: dict[str, Any]
    output: Path

    def load_model(self) -> Model:
        return load_model(self.model)

    def settings(self, model: Model, stack: ExitStack) -> TrainingSettings:
        """Return the settings with images on this machine, until `stack` ends. Raises InputError and FetchError."""
        path = stack.enter_context(local_dataset(self.inputs["input_images"], log))
        return make_settings({**self.inputs, "input_images": path}, model)


def job_arguments(texts: Mapping[str, list[str]], models: Path, environ: Mapping[str, str], output: Path) -> list[str]:
    """Return Python's arguments for a training of EASEL_MODEL. Raises InputError for inputs that it cannot take."""
    model = load_model(models / (environ.get("EASEL_MODEL") or DEFAULT_MODEL))
    inputs = cast_inputs(texts)
    images = inputs.get("input_images")
    # Of what an address names, only the file is not there yet.
    known = None if images is None else Path() if "://" in images else Path(images)
    make_settings({**inputs, "input_images": known}, model)
    return ["-m", MODULE, json.dumps({"model": str(model.folder), "inputs": inputs, "output": str(output)})]


def read_job(text: str) -> Job:
    values = json.loads(text)
    return Job(Path(values["model"]), values["inputs"], Path(values["output"]))
