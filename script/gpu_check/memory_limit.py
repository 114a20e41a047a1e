"""A short time with little memory left, so that a large request really gets none."""

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

DEVICE_BYTES = 500 * 10**6  # beyond what is in use; the VAE's decoder needs 3.2 GB at 2 megapixels
HOST_BYTES = 30 * 10**6  # the same for the tiny model on a CPU


@contextmanager
def little_memory(device: str) -> Iterator[None]:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + DEVICE_BYTES) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + HOST_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@contextmanager
def small_card(device: str, size: float) -> Iterator[None]:
    """At most `size` bytes of the card for this process's tensors; nothing on a CPU."""
    gc.collect()
    if device != "cuda":
        yield
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.set_per_process_memory_fraction(size / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
