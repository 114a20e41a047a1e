"""A start in two steps, with a snapshot of the process's memory between them: read the model; go on with it after a
restore, or read it again where the restore has failed.

Modal takes such snapshots. With one of the CPU's memory alone no GPU is there before it; an alpha feature keeps the
GPU's memory too.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from easel.inference.options import Options
from easel.logs import first_line, log
from easel.models import Model
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths

if TYPE_CHECKING:
    import torch

    from easel.inference.loader import Components, Parts


@dataclass(frozen=True)
class Held:
    """A model as a memory snapshot keeps it, and samples of its numbers."""

    loaded: "Parts | Components"
    samples: "torch.Tensor"


def hold_model(model: Model, paths: WeightPaths, options: Options, device: str | None) -> Held:
    """Return the model on `device` ("cuda" or "cpu"), ready for requests; for None in the host's memory, without a look
    at any GPU.

    Raises WeightsError, FetchError or ResourceError if it cannot be had.
    """
    reading = start_reading(ensure_snapshot(model, paths, log=log))
    with nullcontext() if device else cuda_untouched():
        # Only now, since importing torch takes as long as reading gigabytes; and diffusers looks for a GPU on import.
        from easel.inference.held import read_to_host, take_samples
        from easel.inference.loader import load_components

        if device:
            loaded: Parts | Components = load_components(model, reading, device, options)
        else:
            loaded = read_to_host(model, reading)
            log(f"setup: {time.perf_counter() - reading.began:.1f} s until the model was in the host's memory")
        return Held(loaded, take_samples(loaded))


def resume_model(held: Held, model: Model, paths: WeightPaths, options: Options, device: str) -> "Components":
    """Return what was held, on `device`; where it is not what it was, or does not work, the model loaded plainly.

    What was done is logged. Give `held` away: what cannot be used is freed before the model is loaded again. A process
    that the restore has left without a usable driver, or killed, cannot be saved here.
    """
    began = time.perf_counter()
    try:
        components = restored(held, options, device)
    except Exception as error:  # of a broken restore anything may come
        log(f"warning: the snapshot cannot be used ({first_line(error)}); loading the model from its files")
    else:
        log(f"setup: {time.perf_counter() - began:.1f} s from the snapshot to a model that is ready on {device}")
        return components
    del held
    from easel.inference.loader import load_components

    return load_components(model, start_reading(ensure_snapshot(model, paths, log=log)), device, options)


def restored(held: Held, options: Options, device: str) -> "Components":
    """Return the components of `held`. Raises NotRestoredError, or whatever a broken device raises."""
    import torch

    from easel.inference.held import check_samples, check_work, move_to_device
    from easel.inference.loader import Components

    loaded = held.loaded
    check_samples(loaded, held.samples)
    components = loaded if isinstance(loaded, Components) else move_to_device(loaded, torch.device(device), options)
    check_work(components)
    return components


@contextmanager
def cuda_untouched() -> Iterator[None]:
    """Have torch answer that there is no GPU, without asking the driver, while the block runs.

    The driver keeps its first answer for the life of the process, and a snapshot keeps the process: asked where Modal
    hides the GPU, it would find none after the restore either (https://modal.com/docs/guide/memory-snapshots).
    """
    import torch

    ask = torch.cuda.is_available
    torch.cuda.is_available = lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = ask
