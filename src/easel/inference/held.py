"""A model in the host's memory before it goes to a device, and whether what a memory snapshot kept is still right."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from easel.inference.loader import HOST, Components, Parts, home_of, mode_for, read_parts, share_parts
from easel.inference.options import Options
from easel.inference.staging import copy_to_device
from easel.models import Model
from easel.weights.reading import Reading

SAMPLE_BYTES = (
    16  # at both ends of each parameter: a page that was lost or mixed up shows, and a check takes milliseconds
)
SQUARE = 64  # numbers along a side of the matrix that is multiplied with itself
FAR = 1e-3  # of the largest number: what float32 rounds away, with room


class NotRestoredError(Exception):
    """What was kept in memory is not what it was, or cannot be worked with."""


def read_to_host(model: Model, reading: Reading) -> Parts:
    """Return the model's parts in memory of this process alone: a snapshot has it, and needs the files no more.

    Raises WeightsError for files that are not those of the lock, or do not fit the model.
    """
    try:
        parts = read_parts(model, reading.snapshot.folder, reading.snapshot.manifest.digest, HOST, "resident")
    except Exception:
        reading.wait()  # A file that is not the right one is the reason, whatever it led to.
        raise
    reading.wait()
    for parameter in parameters_of(modules_of(parts)):
        parameter.data = parameter.data.clone()  # it may have been a view of its file
    return parts


def move_to_device(parts: Parts, device: torch.device, options: Options) -> Components:
    """Return the parts, which are in the host's memory, as a start from their files gives them on this device."""
    mode = mode_for(parts.model, device, options)
    modules = {name: module for name, module in parts.modules.items() if home_of(name, device, mode) != HOST}
    if parts.safety_checker and home_of("safety_checker", device, mode) != HOST:
        modules["safety_checker"] = parts.safety_checker.classifier
    with ThreadPoolExecutor() as pool:
        for moved in [pool.submit(move_module, module, device) for module in modules.values()]:
            moved.result()
    return share_parts(parts, device, mode, options)


@torch.inference_mode(False)  # of each thread
def move_module(module: torch.nn.Module, device: torch.device) -> None:
    with copy_to_device(device) as place:
        for parameter in module.parameters():
            parameter.data = place(parameter.data, parameter.dtype)
    module.to(device)  # the buffers


def modules_of(loaded: Parts | Components) -> Iterator[torch.nn.Module]:
    yield from (module for module in loaded.modules.values() if isinstance(module, torch.nn.Module))
    if loaded.safety_checker:
        yield loaded.safety_checker.classifier


def parameters_of(modules: Iterable[torch.nn.Module]) -> Iterator[torch.nn.Parameter]:
    for module in modules:
        yield from module.parameters()


def take_samples(loaded: Parts | Components) -> torch.Tensor:
    """Return bytes of all parameters, in the host's memory: both ends of each."""
    pieces = []
    for parameter in parameters_of(modules_of(loaded)):
        flat = parameter.detach().flatten().view(torch.uint8)
        pieces.append(torch.cat([flat[:SAMPLE_BYTES], flat[-SAMPLE_BYTES:]]).cpu())
    return torch.cat(pieces)


def check_samples(loaded: Parts | Components, samples: torch.Tensor) -> None:
    """Raise NotRestoredError when the parameters are not those of which `samples` were taken."""
    if not torch.equal(take_samples(loaded), samples):
        raise NotRestoredError("weights in memory are not what they were")


def check_work(components: Components) -> None:
    """Have the device multiply numbers of the VAE, which is there in every mode.

    Raises NotRestoredError when the result is not what the CPU makes of them, or whatever the device raises.
    """
    device = components.transformer.device
    weight = max(components.modules["vae"].parameters(), key=torch.Tensor.numel)
    if weight.device.type != device.type:
        raise NotRestoredError(f"the weights are on {weight.device}, and not on {device}")
    side = min(SQUARE, math.isqrt(weight.numel()))
    matrix = weight.detach().flatten()[: side * side].view(side, side).float()
    here = matrix.cpu()
    expected = here @ here.T
    if not ((matrix @ matrix.T).cpu() - expected).abs().max() <= FAR * expected.abs().max():  # false for NaN too
        raise NotRestoredError(f"{device} computes wrong numbers")
