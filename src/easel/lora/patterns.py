"""peft's `alpha_pattern` and `rank_pattern`: a number for the layers whose names a regular expression fits."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import regex  # the standard library's cannot stop a match that would take for ever

from easel.errors import AdapterError

MAX_PATTERNS = 2000  # peft writes one for each layer that differs, and a model has some hundred
MAX_LENGTH = 500  # characters of one
MATCH_S = 0.1  # for one name
TOTAL_S = 2.0  # for all names of a file
# What can be matched in little memory: names, classes and groups, and repeats of one character or class. A repeated
# group of repeats is left out, as its matching takes any amount of memory.
SAFE = re.compile(
    r"(?:(?:[\w.\-]|\\[dDwWsS.\-_/\\]|\[\^?[\w.\-\\]+\])(?:(?:[*+?]|\{\d{1,2}(?:,\d{0,2})?\})[?]?)?|\((?:\?:)?|\)\??|[|^$])*"
)


class Patterns:
    """The values of a mapping {regular expression: value}, `label` is its name. Raises AdapterError for any other."""

    def __init__(self, label: str, written: Any) -> None:
        self._label = label
        if not isinstance(written, Mapping) or len(written) > MAX_PATTERNS:
            shown = f"{len(written)} names" if isinstance(written, Mapping) else str(written)[:80]
            raise AdapterError(
                f"its {label} is {shown}; it must be a mapping of at most {MAX_PATTERNS} names of layers to numbers."
            )
        self._patterns = [(self._compile(name), value) for name, value in written.items()]
        self._left = TOTAL_S

    def _compile(self, name: str) -> regex.Pattern[str]:
        if len(name) <= MAX_LENGTH and SAFE.fullmatch(name):
            try:
                return regex.compile(rf"(.*\.)?({name})$")  # as peft.utils.other.get_pattern_key
            except regex.error:
                pass
        raise AdapterError(
            f"its {self._label} has {name[:80]!r}; a name or a regular expression of at most {MAX_LENGTH} characters, "
            "without repeated groups, is read."
        )

    def find(self, layers: Sequence[str]) -> Any:
        """Return the value of the first expression that fits one of these names of one layer, as peft; None
        without any.
        """
        began = time.monotonic()
        try:
            for pattern, value in self._patterns:
                if any(pattern.match(layer, timeout=MATCH_S) for layer in layers):
                    return value
                if time.monotonic() - began > self._left:
                    raise TimeoutError
        except TimeoutError:
            raise AdapterError(f"its {self._label} takes too long to be matched with the layers.") from None
        finally:
            self._left -= time.monotonic() - began
        return None
