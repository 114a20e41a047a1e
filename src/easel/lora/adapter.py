"""LoRA: read a file, check every tensor of it, apply it for one request, always restore.

Nothing of the base model is changed: for the length of a request, peft's layers stand around its linear layers, and
afterwards the linear layers stand there again. What is kept between requests are tensors of LoRAs, nothing else.
"""

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from safetensors import SafetensorError, safe_open

from easel.errors import AdapterError
from easel.lora.archives import header_size
from easel.lora.files import AdapterFile
from easel.lora.keys import list_keys, places_of, sort_keys
from easel.lora.settings import AdapterSettings, header_problem

MAX_RANK = 256
MAX_HEADER = 5_000_000  # bytes of names, shapes and metadata; a LoRA of a thousand layers has 0.3 MB, with metadata 1.3
MAX_KEPT = 256  # LoRAs in memory, however small: each costs more than its tensors
# A rank-16 LoRA of Z-Image-Turbo has about 40 million numbers, 80 MB: 2 GiB hold some twenty of them.
MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Pair:
    """The change of one linear layer: `up @ down * scaling`, with down (rank, inputs) and up (outputs, rank)."""

    down: torch.Tensor
    up: torch.Tensor
    scaling: float


@dataclass(frozen=True)
class Adapter:
    """A LoRA that was checked against the base model, its tensors on the model's device and in its dtype."""

    label: str
    pairs: Mapping[str, Pair]

    @property
    def size(self) -> int:
        """Bytes of its tensors. A matrix that three layers share counts once for each."""
        return sum(tensor.nbytes for pair in self.pairs.values() for tensor in (pair.down, pair.up))

    @property
    def rank(self) -> int:
        return max(pair.down.shape[0] for pair in self.pairs.values())


class Transformer:
    """The base model's transformer and the linear layers that it has when no LoRA is applied.

    LoRAs are kept on `device` in `dtype`: those that its layers work with, wherever and as whatever they are stored.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        self.module = module
        self.device = device
        self.dtype = dtype
        self.linears = MappingProxyType(
            {name: layer for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)}
        )
        self._slots = []
        for name in self.linears:
            parent, _, child = name.rpartition(".")
            self._slots.append((module.get_submodule(parent), child))

    def restore(self) -> None:
        for (parent, child), layer in zip(self._slots, self.linears.values(), strict=True):
            setattr(parent, child, layer)

    @contextmanager
    def adapted(self, adapters: Sequence[tuple[Adapter, float]]) -> Iterator[None]:
        """Give the transformer with these LoRAs at these scales, for the length of the context.

        Begins with a restore too: a second cancellation can strike inside the `finally` of the request before.
        """
        self.restore()
        try:
            for name, layer in adapted_layers(self.linears, adapters).items():
                self.module.set_submodule(name, layer)
            yield
        finally:
            self.restore()


def adapted_layers(
    linears: Mapping[str, torch.nn.Linear], adapters: Sequence[tuple[Adapter, float]]
) -> dict[str, Linear]:
    """peft's layer for every linear layer that one of the LoRAs changes. A scale of 0 changes nothing."""
    layers: dict[str, Linear] = {}
    for k, (adapter, scale) in enumerate(adapters):
        for name, pair in adapter.pairs.items() if scale else ():
            rank = pair.down.shape[0]
            config = LoraConfig(r=rank, init_lora_weights=False, inference_mode=True)
            with torch.device("meta"):  # neither memory nor random numbers for what is replaced below
                if name in layers:
                    layers[name].update_layer(str(k), rank, lora_alpha=rank, config=config)
                else:
                    layers[name] = Linear(linears[name], str(k), config=config, r=rank, lora_alpha=rank)
            layer = layers[name]
            layer.lora_A[str(k)].weight = torch.nn.Parameter(pair.down, requires_grad=False)
            layer.lora_B[str(k)].weight = torch.nn.Parameter(pair.up, requires_grad=False)
            layer.scaling[str(k)] = pair.scaling * scale
    for layer in layers.values():
        layer.set_adapter(list(layer.lora_A), inference_mode=True)
        layer.eval()
    return layers


class AdapterMemory:
    """LoRAs used lately, by the digest of their files; what was not used for longest goes first."""

    def __init__(self, budget: int = MEMORY_BYTES) -> None:
        self.budget = budget
        self._kept: OrderedDict[tuple[str, str], Adapter] = OrderedDict()

    def load(self, file: AdapterFile, transformer: Transformer) -> tuple[Adapter, bool]:
        """Return the LoRA, and whether it was in memory. Raises AdapterError."""
        config = hashlib.sha256(json.dumps(file.config, sort_keys=True).encode()).hexdigest()  # itself up to 1 MB
        key = (file.digest, config)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key], True
        try:
            adapter = load_adapter(file, transformer)
        except AdapterError as error:
            raise AdapterError(f"lora_weights: {file.label} cannot be used: {error}") from None
        self._kept[key] = adapter
        while self.size > self.budget or len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return adapter, False

    @property
    def size(self) -> int:
        return sum(adapter.size for adapter in self._kept.values())

    def clear(self) -> None:
        self._kept.clear()


def load_adapter(file: AdapterFile, transformer: Transformer) -> Adapter:
    """Read and check a LoRA. Raises AdapterError with a phrase that goes on after the file's name."""
    try:
        if (size := header_size(file.path)) > MAX_HEADER:  # safetensors itself reads up to 100 MB
            raise AdapterError(f"its list of tensors has {size} bytes; at most {MAX_HEADER} are read.")
        with safe_open(file.path, framework="pt") as tensors:
            keys = list(tensors.keys())
            settings = AdapterSettings(tensors.metadata() or {}, file.config)
            pairs: dict[str, Pair] = {}
            places = places_of(transformer.linears)
            for name, parts in sort_keys(keys, transformer.linears).items():
                down, up = tensors.get_tensor(parts["down"]), tensors.get_tensor(parts["up"])
                alpha = tensors.get_tensor(parts["alpha"]) if "alpha" in parts else None
                shares = places[name]
                check_numbers(parts, down, up)
                if alpha is not None and alpha.numel() != 1:
                    raise AdapterError(
                        f"{list_keys([parts['alpha']])} has the shape {tuple(alpha.shape)}, not one number."
                    )
                down, up = without_kernel(down), without_kernel(up)
                if down.ndim != 2 or up.ndim != 2 or up.shape[0] % len(shares):
                    raise AdapterError(shape_sentence(parts, down, up, transformer.linears[shares[0].layer]))
                for place in shares:
                    part = up.chunk(place.shares)[place.share]
                    check_shapes(parts, down, part, transformer.linears[place.layer], place.shares)
                    names = dict.fromkeys((place.layer, name))
                    scaling = settings.scaling(
                        tuple(names), down.shape[0], place.shares, None if alpha is None else float(alpha)
                    )
                    pairs[place.layer] = Pair(
                        down.to(transformer.device, transformer.dtype, copy=True),
                        part.to(transformer.device, transformer.dtype, copy=True),
                        scaling,
                    )
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        problem = header_problem(file.path) or f"it is not a valid safetensors file ({str(error)[:300]})."
        raise AdapterError(problem) from None
    check_finite(pairs)
    return Adapter(file.label, MappingProxyType(pairs))


def without_kernel(tensor: torch.Tensor) -> torch.Tensor:
    """Return a matrix that was kept as a convolution of 1 x 1."""
    return tensor[..., 0, 0] if tensor.ndim == 4 and tensor.shape[2:] == (1, 1) else tensor


def check_numbers(parts: Mapping[str, str], *tensors: torch.Tensor | None) -> None:
    for tensor in tensors:
        if tensor is not None and not tensor.is_floating_point():
            raise AdapterError(
                f"{list_keys([parts['down']])} and what belongs to it hold {tensor.dtype}, not fractional numbers."
            )


def check_shapes(
    parts: Mapping[str, str], down: torch.Tensor, up: torch.Tensor, layer: torch.nn.Linear, shares: int
) -> None:
    """`shares`: of one matrix for several layers, whose ranks may stand in blocks beside one another."""
    rank = down.shape[0]
    if down.shape[1] != layer.in_features or tuple(up.shape) != (layer.out_features, rank) or not rank:
        raise AdapterError(shape_sentence(parts, down, up, layer))
    if rank > MAX_RANK * shares:
        raise AdapterError(
            f"{list_keys([parts['down']])} has rank {rank}; at most {MAX_RANK * shares} is accepted. "
            "Resize it, as trainers' tools do."
        )


def shape_sentence(parts: Mapping[str, str], down: torch.Tensor, up: torch.Tensor, layer: torch.nn.Linear) -> str:
    return (
        f"{list_keys([parts['down'], parts['up']])} have the shapes {tuple(down.shape)} and {tuple(up.shape)}; this "
        f"model's layer takes (rank, {layer.in_features}) and ({layer.out_features}, rank). The names are this model's "
        "and the sizes are not: it is for another size or version of this family, or damaged. Use one made for this "
        "model."
    )


def check_finite(pairs: Mapping[str, Pair]) -> None:
    """After the change to the model's dtype, in which a large number may have become infinite."""
    bad = [
        name
        for name, pair in pairs.items()
        if not (math.isfinite(pair.scaling) and pair.down.isfinite().all() and pair.up.isfinite().all())
    ]
    if bad:
        raise AdapterError(f"it has NaN or infinite numbers for {list_keys(bad)}.")
