"""Training by the clock, with checkpoints: shared by the VAE and the transformer."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

WARMUP_STEPS = 50
CHECKPOINT_SECONDS = 300
LONGEST_STEP = 20.0  # seconds; compiling, or a machine that slept, is not training


class Clock:
    """Yields the share of the full learning rate, step by step, until the seconds are used up.

    Ctrl-C ends it after the step in hand, so that the caller can save. Keeps `state`: step, seconds (all sittings
    together), losses, and `due`, whether a checkpoint should be written.
    The rate warms up over WARMUP_STEPS and falls linearly to zero from `decay_from` (0 to 1) of the time on.
    """

    def __init__(self, state: dict[str, Any], seconds: float, decay_from: float) -> None:
        self.state, self.total, self.decay_from, self.stopped = state, seconds, decay_from, False

    def __iter__(self) -> Iterator[float]:
        state = self.state
        bar = tqdm(total=round(self.total), initial=round(state["seconds"]), unit="s", desc="training", mininterval=10)
        saved_at = time.monotonic()
        before = signal.signal(signal.SIGINT, self.stop)
        try:
            while state["seconds"] < self.total and not self.stopped:
                began = time.monotonic()
                done = state["seconds"] / self.total
                factor = min(1.0, (state["step"] + 1) / WARMUP_STEPS, max(0.0, (1 - done) / (1 - self.decay_from)))
                state["due"] = began - saved_at > CHECKPOINT_SECONDS
                if state["due"]:
                    saved_at = began
                yield factor
                state["step"] += 1
                state["seconds"] += min(time.monotonic() - began, LONGEST_STEP)
                bar.update(round(state["seconds"]) - bar.n)
                bar.set_postfix(step=state["step"], loss=f"{np.mean(state['losses'][-50:]):.4f}", rate=f"{factor:.2f}")
        finally:
            bar.close()
            signal.signal(signal.SIGINT, before)

    def stop(self, *_: object) -> None:
        self.stopped = True


def load_checkpoint(path: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """Restore the parts (by `load_state_dict`) and return the state of the run; a fresh state without a checkpoint."""
    if not path.exists():
        return {"step": 0, "seconds": 0.0, "losses": [], "due": False}
    saved = torch.load(path)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    print(f"going on from step {saved['state']['step']}, {saved['state']['seconds'] / 60:.0f} minutes in")
    state: dict[str, Any] = saved["state"]
    return state


def save_checkpoint(path: Path, parts: dict[str, Any], state: dict[str, Any]) -> None:
    values = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**values, "state": state}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
