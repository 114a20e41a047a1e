"""Where a training stands, in one file that is whole or absent: a kill -9 costs the steps since it was written."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from easel.errors import InputError
from easel.files import disk_errors, write_atomically
from easel.training.layers import TrainedLayers

NAME = "checkpoint.pt"


@dataclass
class Progress:
    """How far a training is: `seed` as it was given or drawn, the loss of every step so far.

    All randomness of a step comes from seed and step (flow.py), so no generator's state is kept.
    """

    seed: int
    losses: list[float] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return len(self.losses)


def save_checkpoint(
    folder: Path, fingerprint: str, progress: Progress, layers: TrainedLayers, optimizer: torch.optim.Optimizer
) -> None:
    """Replace the folder's checkpoint. `fingerprint` says which training it is of. Raises ResourceError."""
    state = {
        "fingerprint": fingerprint,
        "seed": progress.seed,
        "losses": progress.losses,
        "adapter": {name: parameter.detach() for name, parameter in layers.parameters.items()},
        "optimizer": optimizer.state_dict(),
    }
    path = folder / NAME
    with disk_errors(path), write_atomically(path) as stream:
        torch.save(state, stream)


def read_checkpoint(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the folder's checkpoint, or None if it has none. Raises InputError for one of another training."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}): remove it to begin anew.") from None
    if found != fingerprint:
        raise InputError(
            f"{folder} holds an unfinished training with other inputs, images or weights. Give another folder, or "
            f"remove {path} to begin anew."
        )
    return state


def restore_checkpoint(state: dict[str, Any], layers: TrainedLayers, optimizer: torch.optim.Optimizer) -> None:
    """Put back what `save_checkpoint` was given."""
    with torch.no_grad():
        for name, parameter in layers.parameters.items():
            parameter.copy_(state["adapter"][name])
    optimizer.load_state_dict(state["optimizer"])
