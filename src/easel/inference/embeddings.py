"""Embeddings of the prompts used last: the same prompt with another seed needs no text encoder."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable

import torch

MEMORY_BYTES = 32 * 2**20  # twelve of Z-Image-Turbo's longest prompts: 512 tokens x 2560 x 2 B = 2.6 MB
Embeds = dict[str, list[torch.Tensor] | None]


class EmbeddingMemory:
    """Embeddings by the SHA-256 of their texts, which are not kept; the pair unused for longest goes first.

    It belongs to one engine, hence to one text encoder in one dtype; no LoRA changes the encoder. The tensors are
    those that the encoder gave, so the images are the same, bit for bit. The device holds at most `budget` bytes.
    """

    def __init__(self, budget: int = MEMORY_BYTES) -> None:
        self.budget = budget
        self.size = 0
        self._kept: OrderedDict[bytes, Embeds] = OrderedDict()

    def get(self, prompt: str, negative_prompt: str | None, encode: Callable[[], Embeds]) -> Embeds:
        """Return what `encode` gave for these texts, or call it. What raises keeps nothing."""
        key = hashlib.sha256(json.dumps([prompt, negative_prompt]).encode()).digest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        embeds = encode()
        if (size := size_of(embeds)) > self.budget:
            return embeds
        while self.size + size > self.budget:
            self.size -= size_of(self._kept.popitem(last=False)[1])
        self._kept[key] = embeds
        self.size += size
        return embeds

    def clear(self) -> None:
        self._kept.clear()
        self.size = 0


def size_of(embeds: Embeds) -> int:
    return sum(tensor.nbytes for tensors in embeds.values() for tensor in tensors or ())
