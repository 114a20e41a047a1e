"""Embeddings of the prompts used last: the same prompt with another seed needs no text encoder."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable

import torch

MEMORY_BYTES = 32 * 2**20  # twelve of Z-Image-Turbo's longest prompts: 512 tokens x 2560 x 2 B = 2.6 MB
MAX_PROMPTS = 64  # of a small model the budget would hold thousands, and a batch would seem to leak until it is spent
Embeds = dict[str, list[torch.Tensor] | None]


class EmbeddingMemory:
    """Embeddings by the SHA-256 of their texts, which are not kept; the pair unused for longest goes first.

    It belongs to one engine, hence to one text encoder in one dtype; no LoRA changes the encoder. The tensors are
    those that the encoder gave, so the images are the same, bit for bit. At most
    `budget` bytes stay, of at most `prompts` pairs.
    """

    def __init__(self, budget: int = MEMORY_BYTES, prompts: int = MAX_PROMPTS) -> None:
        self.budget, self.prompts = budget, prompts
        self._kept: OrderedDict[bytes, Embeds] = OrderedDict()

    def get(self, prompt: str, negative_prompt: str | None, encode: Callable[[], Embeds]) -> Embeds:
        """Return what `encode` gave for these texts, or call it. What raises keeps nothing."""
        key = hashlib.sha256(json.dumps([prompt, negative_prompt]).encode()).digest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        embeds = encode()
        if size_of(embeds) > self.budget:
            return embeds
        self._kept[key] = embeds
        while len(self._kept) > self.prompts or self.size > self.budget:
            self._kept.popitem(last=False)
        return embeds

    @property
    def size(self) -> int:
        """Bytes of all that is kept. Counted anew each time: a cancel between two lines leaves no wrong total."""
        return sum(map(size_of, self._kept.values()))

    def clear(self) -> None:
        self._kept.clear()


def size_of(embeds: Embeds) -> int:
    return sum(tensor.nbytes for tensors in embeds.values() for tensor in tensors or ())
