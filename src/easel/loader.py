"""Verified files -> Components on a device. The only place that turns a model's folder into modules."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import diffusers
import torch

from easel.adapters import Transformer
from easel.errors import WeightsError
from easel.models import Model
from easel.safety import SafetyChecker, load_safety_checker
from easel.weights.manifest import read_manifest, verify_files


@dataclass(frozen=True)
class Components:
    """What every request shares and none may change: the modules by diffusers' names, without the scheduler.

    A scheduler keeps state, so each request gets its own, made from `scheduler_class` and `scheduler_config`.
    `digest` is the proof of the weights ("sha256:..."), `pipeline_classes` the diffusers class for each kind of request
    (text, image, inpaint). `transformer` is the one in `modules` with the way back from any LoRA. `safety_checker` is
    None for a model that needs none.
    """

    model: Model
    digest: str
    pipeline_classes: Mapping[str, type]
    modules: Mapping[str, Any]
    scheduler_class: type
    scheduler_config: Mapping[str, Any]
    transformer: Transformer
    safety_checker: SafetyChecker | None

    def new_pipeline(self, kind: str) -> Any:
        """A pipeline for one request of this kind: shared modules, own scheduler."""
        scheduler = self.scheduler_class.from_config(dict(self.scheduler_config))
        return self.pipeline_classes[kind](**self.modules, scheduler=scheduler)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_components(model: Model, device: str) -> Components:
    """Verify the model's files against its lock, then load them. Raises WeightsError before anything is loaded."""
    manifest = read_manifest(model.folder)
    verify_files(manifest, model.folder)
    classes = {kind: named(diffusers, name, model) for kind, name in model.pipelines.items()}
    dtype = {name: named(torch, kind, model) for name, kind in model.dtype.items()}
    pipeline = classes["text"].from_pretrained(model.folder, dtype=dtype, local_files_only=True).to(device)
    modules = dict(pipeline.components)
    scheduler = modules.pop("scheduler")
    for module in modules.values():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
    return Components(
        model,
        manifest.digest,
        MappingProxyType(classes),
        MappingProxyType(modules),
        type(scheduler),
        MappingProxyType(dict(scheduler.config)),
        Transformer(modules["transformer"]),
        load_safety_checker(model, device),
    )


def named(library: Any, name: str, model: Model) -> Any:
    if not hasattr(library, name):
        raise WeightsError(f"{model.folder / 'model.yaml'}: {library.__name__} has no {name!r}.")
    return getattr(library, name)
