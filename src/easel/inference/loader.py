"""Verified files -> Components on a device. The only place that turns a model's folder into modules."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights

from easel.errors import ResourceError, WeightsError
from easel.inference.attention import Attention, backends_for, choose_attention
from easel.inference.float8 import multiply_in_float8
from easel.inference.memory import TAKE_TURNS, Memory, choose_mode, free_bytes, share_memory, store_as_float8
from easel.inference.options import Options
from easel.inference.safety import SafetyChecker, load_safety_checker
from easel.inference.staging import copy_to_device
from easel.inference.tensors import fill_module, fit_names, read_tensors, read_to_device, skip_modules
from easel.logs import first_line, log
from easel.lora.adapter import Transformer
from easel.models import MEMORY_MODES, Model
from easel.weights.reading import Reading

LIBRARIES = {"diffusers": diffusers, "transformers": transformers}  # that a model_index.json may name
HOST = torch.device("cpu")
DEFAULTS = Options()


@dataclass(frozen=True)
class Components:
    """What every request shares and none may change: the modules by diffusers' names, without the scheduler.

    A scheduler keeps state, so each request gets its own, made from `scheduler_class` and `scheduler_config`.
    `digest` is that of the manifest ("sha256:..."), `pipeline_classes` the diffusers class for each kind of request
    (text, image, inpaint). `transformer` is the one in `modules` with the way back from any LoRA. `safety_checker` is
    None for a model that needs none. `memory` brings the modules to the device that are not there all the time;
    `attention` sets the transformer's back end.
    """

    model: Model
    digest: str
    pipeline_classes: Mapping[str, type]
    modules: Mapping[str, Any]
    scheduler_class: Any
    scheduler_config: Mapping[str, Any]
    transformer: Transformer
    safety_checker: SafetyChecker | None
    memory: Memory
    attention: Attention

    def new_pipeline(self, kind: str) -> Any:
        """Return a pipeline for one request of this kind: shared modules, own scheduler."""
        scheduler = self.scheduler_class.from_config(dict(self.scheduler_config))
        return self.pipeline_classes[kind](**self.modules, scheduler=scheduler)


@dataclass(frozen=True)
class Parts:
    """What a model's folder holds, before it is known how requests share a device; names as in Components."""

    model: Model
    digest: str
    pipeline_classes: Mapping[str, type]
    modules: Mapping[str, Any]
    tokenizers: Mapping[str, Any]
    scheduler_class: Any
    scheduler_config: Mapping[str, Any]
    safety_checker: SafetyChecker | None


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_components(model: Model, reading: Reading, device: str, options: Options = DEFAULTS) -> Components:
    """Return the model's modules with the tensors of the files that `reading` reads, which are verified when this
    returns.

    What it took is logged. Raises WeightsError for files that are not those of the lock, or do not fit the model, and
    ResourceError for a device whose memory they do not fit.
    """
    began = time.perf_counter()
    try:
        components = load_parts(
            model, reading.snapshot.folder, reading.snapshot.manifest.digest, torch.device(device), options
        )
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"Out of memory while the weights were loaded ({first_line(error)}). End other programs that use the "
            f"card, or set EASEL_MEMORY to a mode that needs less: {', '.join(MEMORY_MODES)}, from most to least."
        ) from error
    except Exception:
        reading.wait()  # A file that is not the right one is the reason, whatever it led to.
        raise
    reading.wait()
    modules = [module for module in components.modules.values() if isinstance(module, torch.nn.Module)]
    size = sum(parameter.nbytes for module in modules for parameter in module.parameters())
    place = f"on {device}" if components.memory.mode == "resident" else "in the host's memory"
    log(
        f"setup: imports {began - reading.began:.1f} s while the files were read; "
        f"{time.perf_counter() - began:.1f} s more until {size / 1e9:.2f} GB were {place}"
    )
    return components


def load_parts(model: Model, folder: Path, digest: str, device: torch.device, options: Options) -> Components:
    mode = mode_for(model, device, options)
    parts = read_parts(model, folder, digest, device, mode)
    return share_parts(parts, device, mode, options)


def mode_for(model: Model, device: torch.device, options: Options) -> str:
    return choose_mode(model, free_bytes(device), options.memory or ("resident" if options.go_fast else None), log)


def read_parts(model: Model, folder: Path, digest: str, device: torch.device, mode: str) -> Parts:
    """Return what the folder holds, each module where a start in this mode has it first: on `device`, or in the host's
    memory.
    """
    names = read_json(folder / "model_index.json")
    classes = {
        part: named(LIBRARIES.get(entry[0]), entry[1], folder / "model_index.json")
        for part, entry in names.items()
        if not part.startswith("_")
    }
    pipelines = {kind: named(diffusers, name, model.folder / "model.yaml") for kind, name in model.pipelines.items()}
    modules = {
        part: new_module(kind, folder / part, model.skip.get(part, ()))
        for part, kind in classes.items()
        if issubclass(kind, torch.nn.Module)
    }
    with ThreadPoolExecutor() as pool:  # side by side: each waits for the disk and the device, not for the others
        filled = [
            pool.submit(load_module, module, folder / part, model, part, home_of(part, device, mode))
            for part, module in modules.items()
        ]
        tokenizers = {
            part: kind.from_pretrained(folder / part, local_files_only=True)
            for part, kind in classes.items()
            if part not in modules and part != "scheduler"
        }
        safety_checker = load_safety_checker(model, folder, home_of("safety_checker", device, mode))
        for each in filled:
            each.result()
    return Parts(
        model,
        digest,
        MappingProxyType(pipelines),
        MappingProxyType(modules),
        MappingProxyType(tokenizers),
        classes["scheduler"],
        MappingProxyType(read_json(folder / "scheduler" / "scheduler_config.json")),
        safety_checker,
    )


def home_of(part: str, device: torch.device, mode: str) -> torch.device:
    return HOST if mode != "resident" and part in TAKE_TURNS else device


def share_parts(parts: Parts, device: torch.device, mode: str, options: Options) -> Components:
    """Return the parts, which are where `read_parts` has them for `device` and `mode`, as requests share them."""
    transformer: Any = parts.modules["transformer"]
    dtype = transformer.dtype
    if options.go_fast:
        log(multiply_in_float8(transformer, device))
    if mode == "float8":
        store_as_float8(transformer)
    checker = parts.safety_checker
    memory = share_memory(mode, parts.modules, checker.classifier if checker else None, device)
    attention = Attention(transformer)
    if options.attention:
        attention = choose_attention(transformer, backends_for(parts.model.attention, device), device, log)
    return Components(
        parts.model,
        parts.digest,
        parts.pipeline_classes,
        MappingProxyType({**parts.modules, **parts.tokenizers}),
        parts.scheduler_class,
        parts.scheduler_config,
        Transformer(transformer, device, dtype),
        checker,
        memory,
        attention,
    )


def new_module(kind: Any, folder: Path, skip: Any) -> torch.nn.Module:
    """Return the module of class `kind` that `folder/config.json` describes; parameters on device meta, buffers real"""
    if issubclass(kind, transformers.PreTrainedModel):
        config = kind.config_class.from_pretrained(folder, local_files_only=True)
    else:
        config = kind.load_config(folder, local_files_only=True)
    with init_empty_weights(include_buffers=False):
        module: torch.nn.Module = (
            kind(config) if issubclass(kind, transformers.PreTrainedModel) else kind.from_config(config)
        )
    skip_modules(module, skip)
    return module


def load_module(module: torch.nn.Module, folder: Path, model: Model, part: str, device: torch.device) -> None:
    path = model.folder / "model.yaml"
    dtype = named(torch, model.dtype.get(part, model.dtype["default"]), path)
    files = sorted(folder.glob("*.safetensors"))
    direct = device.type == "cuda" and find_spec("instanttensor")  # used where someone has installed it
    tensors = fit_names(read_to_device(files, device) if direct else read_tensors(files), module)
    with copy_to_device(device) as place:
        fill_module(module, tensors, dtype, place, model.skip.get(part, ()))
    module.to(device).eval().requires_grad_(False)  # .to(): the buffers


def read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        return values
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from error


def named(library: Any, name: str, source: Path) -> Any:
    if not hasattr(library, name):
        raise WeightsError(f"{source}: {getattr(library, '__name__', 'no library that is known')} has no {name!r}.")
    return getattr(library, name)
