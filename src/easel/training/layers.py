"""The LoRA that is trained: peft's layers around the transformer's own, and a way back from them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear

from easel.errors import InputError
from easel.lora.adapter import Adapter, Pair, Transformer

ADAPTER_NAME = "default"  # peft's word for the only one


class TrainedLayers:
    """A new LoRA for a transformer: a seeded random `down`, zeros for `up`, float32, alpha equal to the rank.

    It counts inside `applied` alone. The transformer's own layers are not changed.
    """

    def __init__(self, transformer: Transformer, targets: Sequence[str], rank: int, seed: int) -> None:
        self._transformer = transformer
        names = [name for name in transformer.linears if is_target(name, targets)]
        if not names:
            raise InputError("This model's transformer has no layers that lora_targets names: choose another set.")
        generator = torch.Generator("cpu").manual_seed(seed)
        self._layers: dict[str, Linear] = {}
        # What is trained, by names as in a file: `layers.0.attention.to_q.lora_A.weight`.
        self.parameters: dict[str, torch.nn.Parameter] = {}
        for name in names:
            down, up = new_matrices(transformer, name, rank, generator)
            self._layers[name] = new_layer(transformer.linears[name], down, up)
            self.parameters |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the layers in the transformer for the length of the context."""
        self._transformer.restore()
        try:
            for name, layer in self._layers.items():
                self._transformer.module.set_submodule(name, layer)
            yield
        finally:
            self._transformer.restore()

    def as_adapter(self, label: str) -> Adapter:
        """Return what has been learnt so far as predictions take it: a copy in the transformer's number type."""
        pairs = {}
        for name in self._layers:
            down, up = (
                self.parameters[f"{name}.{part}.weight"].detach().to(self._transformer.dtype, copy=True)
                for part in ("lora_A", "lora_B")
            )
            pairs[name] = Pair(down, up, 1.0)
        return Adapter(label, MappingProxyType(pairs))


def is_target(name: str, targets: Sequence[str]) -> bool:
    """Return whether a linear layer is one of the targets in a main block, `layers.N`, as others train Z-Image."""
    block, _, part = name.partition(".")
    return block == "layers" and part.partition(".")[2] in targets


def new_matrices(
    transformer: Transformer, name: str, rank: int, generator: torch.Generator
) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    """Return `down` and `up` as peft begins them, but of a generator of their own: peft's come from a global state."""
    base = transformer.linears[name]
    down = torch.empty(rank, base.in_features)
    torch.nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
    up = torch.zeros(base.out_features, rank)
    return torch.nn.Parameter(down.to(transformer.device)), torch.nn.Parameter(up.to(transformer.device))


def new_layer(base: torch.nn.Linear, down: torch.nn.Parameter, up: torch.nn.Parameter) -> Linear:
    rank = len(down)
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights=False)
    with torch.device("meta"):  # for what is replaced below
        layer = Linear(base, ADAPTER_NAME, config=config, r=rank, lora_alpha=rank)
    layer.lora_A[ADAPTER_NAME].weight = down
    layer.lora_B[ADAPTER_NAME].weight = up
    return layer
