"""Verified files -> Components on a device. The only place that turns a model's folder into modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import diffusers
import torch

from easel.errors import WeightsError
from easel.models import Model
from easel.weights.manifest import read_manifest, verify_files


@dataclass(frozen=True)
class Components:
    """What every request shares and none may change: the modules by diffusers' names, without the scheduler.

    A scheduler keeps state, so each request gets its own, made from `scheduler_class` and `scheduler_config`.
    `digest` is the proof of the weights ("sha256:..."), `pipeline_class` the diffusers class for text to image.
    """

    model: Model
    digest: str
    pipeline_class: type
    modules: Mapping[str, Any]
    scheduler_class: type
    scheduler_config: Mapping[str, Any]

    def new_pipeline(self) -> Any:
        """A pipeline for one request: shared modules, own scheduler."""
        scheduler = self.scheduler_class.from_config(dict(self.scheduler_config))
        return self.pipeline_class(**self.modules, scheduler=scheduler)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_components(model: Model, device: str) -> Components:
    """Verify the model's files against its lock, then load them. Raises WeightsError before anything is loaded."""
    manifest = read_manifest(model.folder)
    verify_files(manifest, model.folder)
    pipeline_class = named(diffusers, model.pipelines["text"], model)
    dtype = {name: named(torch, kind, model) for name, kind in model.dtype.items()}
    pipeline = pipeline_class.from_pretrained(model.folder, dtype=dtype, local_files_only=True).to(device)
    modules = dict(pipeline.components)
    scheduler = modules.pop("scheduler")
    for module in modules.values():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
    return Components(
        model,
        manifest.digest,
        pipeline_class,
        MappingProxyType(modules),
        type(scheduler),
        MappingProxyType(dict(scheduler.config)),
    )


def named(library: Any, name: str, model: Model) -> Any:
    if not hasattr(library, name):
        raise WeightsError(f"{model.folder / 'model.yaml'}: {library.__name__} has no {name!r}.")
    return getattr(library, name)
