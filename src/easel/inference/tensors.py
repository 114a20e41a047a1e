"""From safetensors files straight into a module: no random numbers before, no second copy on the way.

A tensor read here is a view of the file in the page cache. On a CPU, in the number type of the file, it becomes the
parameter itself; otherwise it is converted or copied once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from safetensors import SafetensorError, safe_open

from easel.errors import WeightsError

MAX_SHOWN = 3  # names of tensors in a message
Place = Callable[[torch.Tensor, torch.dtype], torch.Tensor]


def read_tensors(files: Iterable[Path]) -> dict[str, torch.Tensor]:
    """Return all tensors of the files by their names, each a view of its file.

    Raises WeightsError for a damaged one.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt", device="cpu") as opened:
                names = opened.keys()
                tensors |= {name: opened.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a safetensors file that can be read: {error}.") from error
    return tensors


def read_to_device(files: Sequence[Path], device: torch.device) -> dict[str, torch.Tensor]:
    """Return all tensors of the files by their names, on a CUDA device, by the package instanttensor.

    It reads past the page cache, so that a file is not read by the start's other threads first. Raises WeightsError.
    """
    from instanttensor import safe_open as open_directly  # type: ignore[import-not-found]  # optional, CUDA only

    try:
        with open_directly([str(path) for path in files], framework="pt", device=device) as opened:
            return dict(opened.tensors())
    except (RuntimeError, ValueError, OSError) as error:
        names = ", ".join(map(str, files))
        raise WeightsError(f"{names}: instanttensor cannot read all of them: {error}.") from error


def fit_names(tensors: dict[str, torch.Tensor], module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors under the names that this module of diffusers or transformers has for them.

    A file may hold the names of the model's first authors, which diffusers' converter knows, or a language model's
    whole, of which `module` is the part under its `base_model_prefix`.
    """
    expected = module.state_dict().keys()
    if tensors.keys() == expected:
        return tensors
    known: Any = SINGLE_FILE_LOADABLE_CLASSES.get(type(module).__name__)
    prefix = getattr(module, "base_model_prefix", "") + "."
    if known and not expected <= tensors.keys():
        convert: Any = known["checkpoint_mapping_fn"]
        config: Any = module.config
        converted: dict[str, torch.Tensor] = convert(checkpoint=tensors, config=dict(config))
        return converted
    if len(prefix) > 1 and all(name.startswith(prefix) for name in tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def fill_module(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, place: Place, skip: Sequence[str]
) -> None:
    """Give every parameter of a module without memory (device meta) its tensor, placed and of type `dtype`.

    Tensors under the names in `skip` are left out. Raises WeightsError unless the others fit one to one, with shapes.
    """
    skipped = tuple(f"{name}." for name in skip)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(skipped)}
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    problems = [
        f"{len(names)} {what} ({', '.join(names[:MAX_SHOWN])}{', ...' if len(names) > MAX_SHOWN else ''})"
        for what, names in (
            ("are missing", sorted(expected.keys() - tensors.keys())),
            ("have no place", sorted(tensors.keys() - expected.keys())),
            ("have another shape", sorted(n for n in expected if n in tensors and tensors[n].shape != expected[n])),
        )
        if names
    ]
    if problems:
        raise WeightsError(f"The tensors do not fit {type(module).__name__}: {'; '.join(problems)}.")
    placed = {name: place(tensor, number_type(tensor, dtype)) for name, tensor in tensors.items()}
    module.load_state_dict(placed, assign=True)


def number_type(tensor: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if tensor.is_floating_point() else tensor.dtype


def skip_modules(module: torch.nn.Module, names: Sequence[str]) -> None:
    """Make these submodules hand on their first argument: they have no tensors any more.

    They stay instances of their class, since transformers records hidden states by the class of a layer.
    """
    for name in names:
        try:
            skipped = module.get_submodule(name)
        except AttributeError:
            raise WeightsError(f"skip in model.yaml: {type(module).__name__} has no module {name!r}.") from None
        for name, _ in list(skipped.named_parameters(recurse=False)):
            delattr(skipped, name)
        for name, _ in list(skipped.named_children()):
            delattr(skipped, name)
        skipped.__class__ = type(f"Skipped{type(skipped).__name__}", (type(skipped),), {"forward": passthrough})


def passthrough(self: torch.nn.Module, first: Any, *_: Any, **__: Any) -> Any:
    return first
