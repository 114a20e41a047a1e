"""What a LoRA file says about its scaling apart from its tensors: peft's adapter_config.json or diffusers' metadata."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from easel.errors import AdapterError
from easel.lora.patterns import Patterns

MAX_METADATA = 1_000_000  # characters; trainers write some thousand, and with the tags of a data set some 100,000
FLAT_ALPHAS = ("lora_alpha", "network_alpha", "ss_network_alpha", "alpha")  # last part of a name in a file's metadata
# Ways of beginning a training that also change the base model, which here stays as it is.
OTHER_BASES = ("pissa", "olora", "corda", "loftq")


SAVE_AGAIN = "Save the file again with metadata={name: text}, or without"


class AdapterSettings:
    """`metadata` is the safetensors file's. Raises AdapterError for another method than LoRA."""

    def __init__(self, metadata: Mapping[str, str], config: Mapping[str, Any] | None) -> None:
        size = sum(len(name) + len(value) for name, value in metadata.items())
        if size > MAX_METADATA:
            raise AdapterError(f"its metadata are {size} characters long; at most {MAX_METADATA} are read.")
        self.values: Mapping[str, Any] = config or {}
        if not config and "lora_adapter_metadata" in metadata:
            self.values = read_metadata(metadata["lora_adapter_metadata"])
        self._patterns: dict[str, Patterns] = {}  # read once: a hostile mapping has very many names
        self._flat = flat_alpha(metadata, self.values.get("lora_alpha"))
        if str(self.values.get("init_lora_weights", "")).lower().startswith(OTHER_BASES):
            begun = str(self.values["init_lora_weights"])[:80]
            raise AdapterError(
                f"it was begun with {begun}, which changes the base model too: convert it to a plain LoRA."
            )
        method = self.values.get("peft_type", "LORA")
        if method != "LORA" or self.values.get("use_dora"):
            raise AdapterError(f"it is {'DoRA' if method == 'LORA' else str(method)[:80]}, not a plain LoRA.")

    def scaling(self, layers: Sequence[str], rank: int, shares: int, alpha: float | None) -> float:
        """alpha / rank, or alpha / sqrt(rank) for rsLoRA; without an alpha anywhere, 1.

        `layers` are the names of one layer, here and in the file; `shares` is the number of layers that the file's
        matrix is for, whose ranks may stand beside one another.
        """
        said = self._said_rank(layers, rank, shares)
        if alpha is None:
            rank = said
            alpha = self._find("alpha_pattern", layers, self.values.get("lora_alpha", self._flat))
        if alpha is None:
            return 1.0
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise AdapterError(f"lora_alpha is {str(alpha)[:80]!r}, not a number.")
        try:
            return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)
        except OverflowError:
            raise AdapterError("lora_alpha overflows a float.") from None

    def _said_rank(self, layers: Sequence[str], rank: int, shares: int) -> int:
        """Return the rank that the alpha of the settings belongs to.

        Raises AdapterError when they do not fit the tensors.
        """
        said = self._find("rank_pattern", layers, self.values.get("r"))
        if said is None or (type(said) is int and said in (rank, rank / shares)):
            return rank if said is None else said
        raise AdapterError(
            f"its settings say rank {str(said)[:80]} for {layers[0][:80]}, and its tensors have {rank}: they do not "
            "belong together. Give the file and the settings that were saved at once."
        )

    def _find(self, pattern: str, layers: Sequence[str], otherwise: Any) -> Any:
        """Return what peft's {expression: value} mapping of that name says of a layer."""
        if pattern not in self._patterns:
            self._patterns[pattern] = Patterns(pattern, self.values.get(pattern) or {})
        found = self._patterns[pattern].find(layers)
        return otherwise if found is None else found


def header_problem(path: Path) -> str | None:
    """Return why safetensors refuses a header that is sound but for its metadata; None for any other fault."""
    try:
        with path.open("rb") as stream:
            metadata = json.loads(stream.read(int.from_bytes(stream.read(8), "little"))).get("__metadata__")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    if not isinstance(metadata, dict | None):
        return f"its '__metadata__' are {str(metadata)[:80]!r}, not a JSON object of texts. {SAVE_AGAIN}."
    for name, value in (metadata or {}).items():
        if not isinstance(value, str):
            return f"its metadata must be texts, and {name[:80]!r} is {json.dumps(value)[:80]}. {SAVE_AGAIN}."
    return None


def read_metadata(text: str) -> dict[str, Any]:
    """peft's settings as diffusers writes them into a file. Raises AdapterError."""
    try:
        written = json.loads(text)
    except (ValueError, RecursionError):
        written = None
    if not isinstance(written, dict):
        raise AdapterError(
            f"its metadata 'lora_adapter_metadata' are {text[:80]!r}, not a JSON object: save the file again without "
            "them, with its alpha as tensors."
        )
    return {key.removeprefix("transformer."): value for key, value in written.items()}


def flat_alpha(metadata: Mapping[str, str], configured: Any) -> float | None:
    """Return the alpha that trainers write into the metadata by itself, for files without tensors of that name.

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
