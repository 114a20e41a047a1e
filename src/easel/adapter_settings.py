"""What a LoRA file says about its scaling apart from its tensors: peft's adapter_config.json or diffusers' metadata."""

import json
import math
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from easel.errors import AdapterError

MAX_METADATA = 1_000_000  # characters; trainers write some thousand, and with the tags of a data set some 100,000
NAME = re.compile(r"\^?[\w.-]+")


class Settings:
    """`metadata` is the safetensors file's. Raises AdapterError for another method than LoRA."""

    def __init__(self, metadata: Mapping[str, str], config: Mapping[str, Any] | None) -> None:
        size = sum(len(name) + len(value) for name, value in metadata.items())
        if size > MAX_METADATA:
            raise AdapterError(f"its metadata are {size} characters long; at most {MAX_METADATA} are read.")
        self.values: Mapping[str, Any] = config or {}
        if not config and "lora_adapter_metadata" in metadata:
            written = json.loads(metadata["lora_adapter_metadata"])
            if isinstance(written, dict):
                self.values = {key.removeprefix("transformer."): value for key, value in written.items()}
        method = self.values.get("peft_type", "LORA")
        if method != "LORA" or self.values.get("use_dora"):
            raise AdapterError(f"it is {'DoRA' if method == 'LORA' else str(method)[:80]}, not a plain LoRA.")

    def scaling(self, layer: str, rank: int, alpha: float | None) -> float:
        """alpha / rank, or alpha / sqrt(rank) for rsLoRA; without an alpha anywhere, 1."""
        if alpha is None:
            alpha = self._alpha(layer)
        if alpha is None:
            return 1.0
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise AdapterError(f"lora_alpha is {str(alpha)[:80]!r}, not a number.")
        try:
            return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)
        except OverflowError:
            raise AdapterError("lora_alpha is too large for a number with a point.") from None

    def _alpha(self, layer: str) -> Any:
        """Of the last name in alpha_pattern that is the layer's or the end of it; otherwise the file's lora_alpha."""
        parts = layer.split(".")
        ends = (".".join(parts[k:]) for k in range(len(parts)))
        found = [self._patterns[end] for end in ends if end in self._patterns]
        return max(found, key=lambda one: one[0])[1] if found else self.values.get("lora_alpha")

    @cached_property
    def _patterns(self) -> dict[str, tuple[int, Any]]:
        """{name: (its place, alpha)} of alpha_pattern, read once: a hostile one has very many names."""
        patterns = self.values.get("alpha_pattern") or {}
        if not isinstance(patterns, dict):
            raise AdapterError(f"its alpha_pattern is {str(patterns)[:80]}, not a mapping of layers to numbers.")
        places = {}
        for k, (name, value) in enumerate(patterns.items()):
            if not NAME.fullmatch(name):  # peft reads it as a pattern; none but names are in use
                raise AdapterError(f"its alpha_pattern has {name[:80]!r}, which is not the name of a layer.")
            places[name.removeprefix("^")] = (k, value)
        return places
