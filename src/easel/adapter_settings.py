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
FLAT_ALPHAS = ("lora_alpha", "network_alpha", "ss_network_alpha", "alpha")  # last part of a name in a file's metadata
# Ways of beginning a training that also change the base model, which here stays as it is.
OTHER_BASES = ("pissa", "olora", "corda", "loftq")


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
        self._flat = flat_alpha(metadata, self.values.get("lora_alpha"))
        if str(self.values.get("init_lora_weights", "")).lower().startswith(OTHER_BASES):
            begun = str(self.values["init_lora_weights"])[:80]
            raise AdapterError(
                f"it was begun with {begun}, which changes the base model too: convert it to a plain LoRA."
            )
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
        """Of the first name in alpha_pattern that is the layer's or the end of it, as peft; otherwise the file's."""
        parts = layer.split(".")
        ends = (".".join(parts[k:]) for k in range(len(parts)))
        found = [self._patterns[end] for end in ends if end in self._patterns]
        return min(found, key=lambda one: one[0])[1] if found else self.values.get("lora_alpha", self._flat)

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


def flat_alpha(metadata: Mapping[str, str], configured: Any) -> float | None:
    """The alpha that trainers write into the metadata by itself, for files without tensors of that name.

    Raises AdapterError when it is said in two ways, which of them to follow cannot be told.
    """
    found: dict[str, float] = {}
    for name, value in metadata.items():
        if name.rpartition(".")[2] in FLAT_ALPHAS:
            try:
                found[name] = float(value)
            except ValueError:
                if value.strip().lower() not in ("", "none", "null"):
                    raise AdapterError(f"its {name[:80]!r} is {value[:80]!r}, not a number.") from None
    if isinstance(configured, int | float) and found:
        found["lora_alpha of its settings"] = configured
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name[:80]!r} {str(value)[:80]}" for name, value in list(found.items())[:5])
        raise AdapterError(f"its metadata contradict each other ({said}): keep one of them.")
    return next(iter(found.values()), None)
