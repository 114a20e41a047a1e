"""What the rows of one process share: the folder, the device, the deadline, and what they have found so far."""

import ctypes
import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_check.rows import MISS, PASS, NotRun, Outcome

REPOSITORY = Path(__file__).resolve().parents[2]
DONE = "complete"  # a file in the checkpoint's folder that is written last
RESULTS = "results.json"  # in that folder: what the processes before have found
PAGE = mmap.PAGESIZE


@dataclass
class Context:
    """`device` is cuda or cpu, `folder` the one of write_checkpoint, `results` what was found so far, by row.

    `keep` is for what lasts from row to row, such as a server.
    """

    folder: Path
    device: str
    tiny: bool
    results: dict[str, Outcome] = field(default_factory=dict)
    keep: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of what is timed."""
        return (64, 80) if self.tiny else (1024, 1024)

    def earlier(self, row: str, name: str) -> float | None:
        """A figure of an earlier row, None when it was not measured."""
        found = self.results.get(row)
        return found.figures.get(name) if found else None


def judge(name: str, measured: str, wanted: str = "", good: bool = True, **figures: Any) -> Outcome:
    return Outcome(name, PASS if good else MISS, measured, wanted, figures)


def judge_time(context: Context, name: str, measured: str, wanted: str, good: bool, **figures: Any) -> Outcome:
    """As judge, but times at tiny size say nothing: there every row that could be measured passes."""
    return judge(name, measured, wanted, good or context.tiny, **figures)


def seconds_of(call: Callable[[], Any], synchronize: Callable[[], None] = lambda: None) -> float:
    synchronize()
    began = time.perf_counter()
    call()
    synchronize()
    return time.perf_counter() - began


def median_of(
    context: Context, rounds: int, call: Callable[[], Any], synchronize: Callable[[], None] = lambda: None
) -> float:
    """Median seconds of `rounds` calls, after one that is not counted. At tiny size, where no time counts, of one."""
    if context.tiny:
        return seconds_of(call, synchronize)
    call()
    return statistics.median(seconds_of(call, synchronize) for _ in range(rounds))


def drop_from_page_cache(context: Context, files: Iterable[Path]) -> None:
    """Ask the kernel to forget these files, which needs no root. Raises NotRun when it still holds some of them.

    It keeps what another process has mapped, and at tiny size the groups of rows run side by side.
    """
    held = total = 0
    for path in files:
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            pages = -(-path.stat().st_size // PAGE)
            held += pages_in_cache(stream.fileno(), pages)
            total += pages
    if held > 0.05 * total and not context.tiny:
        raise NotRun(f"{held / total:.0%} of the files stay in the page cache")


def pages_in_cache(descriptor: int, pages: int) -> int:
    """How many of a file's first `pages` pages are in memory: mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = ctypes.c_size_t(pages * PAGE)
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap failed")
    vector = (ctypes.c_ubyte * pages)()
    try:
        if libc.mincore(ctypes.c_void_p(address), size, vector):
            raise OSError(ctypes.get_errno(), "mincore failed")
    finally:
        libc.munmap(ctypes.c_void_p(address), size)
    return sum(one & 1 for one in bytes(vector))


def weight_files(folder: Path) -> dict[str, list[Path]]:
    """Every file of weights in a checkpoint's folder: those that Easel reads, those of diffusers' from_pretrained."""
    blobs = sorted((folder / "cache" / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    return {"easel": blobs, "plain": [path.resolve() for path in (folder / "plain").rglob("*.safetensors")]}


def gigabytes(files: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e9
