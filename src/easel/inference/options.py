"""What the environment asks of a start: EASEL_COMPILE, EASEL_ATTENTION, EASEL_GO_FAST, EASEL_MEMORY."""

from collections.abc import Mapping
from dataclasses import dataclass

from easel.errors import ResourceError
from easel.models import MEMORY_MODES

SWITCHES = {"": False, "0": False, "1": True}


@dataclass(frozen=True)
class Options:
    """How the model is loaded and run until the process ends. All are off by default.

    `compile`: torch.compile, see compile.py. `attention`: the back end that model.yaml names for the card, see
    attention.py. `go_fast`: float8 in the transformer, see float8.py. `memory`: one of MEMORY_MODES, or None for the
    one that fits, see memory.py.
    """

    compile: bool = False
    attention: bool = False
    go_fast: bool = False
    memory: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Options":
        """Raises ResourceError for a value that none of them has, and for two that exclude each other."""
        memory = environ.get("EASEL_MEMORY") or None
        if memory not in (None, *MEMORY_MODES):
            raise ResourceError(
                f"EASEL_MEMORY is {memory!r}; it may be {', '.join(MEMORY_MODES)}, or unset for what fits."
            )
        options = cls(
            compile=switch("EASEL_COMPILE", environ),
            attention=switch("EASEL_ATTENTION", environ),
            go_fast=switch("EASEL_GO_FAST", environ),
            memory=memory,
        )
        if options.go_fast and memory not in (None, "resident"):
            raise ResourceError(
                f"EASEL_GO_FAST=1 keeps all weights on the device and does not go with EASEL_MEMORY={memory}: "
                "unset one of them."
            )
        return options


def switch(name: str, environ: Mapping[str, str]) -> bool:
    value = environ.get(name, "")
    if value not in SWITCHES:
        raise ResourceError(f"{name} is {value!r}; it may be 1 for on, 0 for off, or unset.")
    return SWITCHES[value]
