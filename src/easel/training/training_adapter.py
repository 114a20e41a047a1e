"""The LoRA that a distilled model is trained under: it counts while the model is trained, and is not in the result.

Distillation is undone by plain training; ostris's adapter undoes it beforehand, so that what is learnt is the images
alone (https://huggingface.co/ostris/zimage_turbo_training_adapter).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from easel.errors import AdapterError, WeightsError
from easel.logs import log
from easel.lora.adapter import Adapter, Transformer, load_adapter
from easel.lora.files import AdapterFile
from easel.models import Model
from easel.weights.manifest import LockedFile, digest_problem
from easel.weights.pull import pull_files
from easel.weights.store import WeightPaths, find_blob

HOST = torch.device("cpu")
LABEL = "training_adapter.safetensors"


def fetch_training_adapter(model: Model, paths: WeightPaths) -> AdapterFile | None:
    """Return the adapter that model.yaml names, fetched into the store and verified; None if the model needs none.

    Raises FetchError and WeightsError: a model that has one is never trained without it.
    """
    named = (model.training or {}).get("adapter")
    if named is None:
        return None
    file = LockedFile(LABEL, named["size"], named["digest"], named["source"])
    log(f"training: {model.name} is distilled and is trained under its adapter {file.digest} alone")
    pull_files([file], model.folder, paths.cache, log, sys.stderr)
    blob = find_blob(paths.cache, file)
    if blob is None:
        raise WeightsError(f"The training adapter of {model.name} is not in {paths.cache}. Run this again.")
    if problem := digest_problem(LockedFile(blob.name, file.size, file.digest), blob.parent):
        raise WeightsError(f"The training adapter of {model.name} is damaged ({problem}). Remove {blob}.")
    return AdapterFile(blob, file.blob_name, None, LABEL)


class Merged:
    """The adapter's change, added to the weights inside `merged` and taken away outside of it, bit for bit."""

    def __init__(self, transformer: Transformer, file: AdapterFile) -> None:
        try:
            self.adapter: Adapter = load_adapter(file, transformer)
        except AdapterError as error:
            raise WeightsError(f"The training adapter does not fit this model: {error}") from None
        self._layers = {name: transformer.linears[name] for name in self.adapter.pairs}
        # Subtracting it again would round.
        self._originals = {name: layer.weight.detach().to(HOST, copy=True) for name, layer in self._layers.items()}

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Have the change in the weights, once, for the length of the context."""
        try:
            for name, pair in self.adapter.pairs.items():
                weight = self._layers[name].weight.data
                change = pair.up.float() @ pair.down.float() * pair.scaling
                weight.copy_((weight.float() + change).to(weight.dtype))
            yield
        finally:
            for name, original in self._originals.items():
                self._layers[name].weight.data.copy_(original)
