"""What this machine is and how fast its parts are; and the checkpoint that all other rows read."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from easel.weights.manifest import read_manifest
from gpu_check.checkpoint import write_checkpoint
from gpu_check.context import (
    DONE,
    REPOSITORY,
    Context,
    drop_from_page_cache,
    gigabytes,
    judge,
    median_of,
    weight_files,
)
from gpu_check.layout import REAL, TINY
from gpu_check.rows import Outcome

PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "peft", "accelerate", "safetensors", "cog", "coglet")
COPY_BYTES = 2**30
EMOJI = REPOSITORY / "weights" / "emoji"


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    yield


def pinned_versions() -> dict[str, str]:
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := re.match(r"([\w-]+)==([\w.]+)", line))}


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def driver() -> str:
    if not shutil.which("nvidia-smi"):
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.split("\n")[0].strip() or "unknown"


def versions(context: Context, name: str) -> Outcome:
    card = torch.cuda.get_device_name() if context.device == "cuda" else "no CUDA device"
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if context.device == "cuda" else 0.0
    pinned, found = pinned_versions(), {package: installed(package) for package in PACKAGES}
    others = {k: v for k, v in found.items() if v.partition("+")[0] != pinned[k]}
    said = ", ".join(f"{package} {value} and not the pinned {pinned[package]}" for package, value in others.items())
    about = {"card": card, "driver": driver(), "cuda": torch.version.cuda or "none"}
    measured = f"{card}, driver {about['driver']}; {said or 'all packages as pinned'}"
    figures: dict[str, Any] = {**about, "memory_gb": round(memory, 1), **found}
    return judge(name, measured, **figures)


def tree(context: Context, name: str) -> Outcome:
    """The tree may travel without the emoji model's largest file: no row reads the emoji model."""
    missing = [file.path for file in read_manifest(EMOJI).files if not (EMOJI / file.path).is_file()]
    said = f"without weights/emoji/{', '.join(missing)}, which no row needs" if missing else "all of it is here"
    return judge(name, said)


def checkpoint(context: Context, name: str) -> Outcome:
    made = not (context.folder / DONE).exists()
    began = time.perf_counter()
    if made:
        write_checkpoint(context.folder, REPOSITORY, TINY if context.tiny else REAL, context.device)
        if context.tiny:  # A start that compiles draws an image of the native area.
            settings = context.folder / "weights" / "z-image-turbo" / "model.yaml"
            settings.write_text(re.sub(r"(?m)^native_area: .*$", "native_area: 16384", settings.read_text()))
    seconds = time.perf_counter() - began
    size = gigabytes(weight_files(context.folder)["easel"])
    text = f"{size:.2f} GB in {seconds:.1f} s" if made else f"{size:.2f} GB, from an earlier run"
    return judge(name, text, gb=size, seconds=seconds)


def disk(context: Context, name: str) -> Outcome:
    """One file is enough: the text encoder, 8 GB."""
    path = weight_files(context.folder)["easel"][-2]
    drop_from_page_cache(context, [path])
    began = time.perf_counter()
    read_all(path)
    rate = path.stat().st_size / 1e9 / (time.perf_counter() - began)
    total = gigabytes(weight_files(context.folder)["easel"])
    return judge(name, f"{rate:.2f} GB/s: {total / rate:.2f} s for all weights", gb_per_s=rate, floor_s=total / rate)


def read_all(path: Path) -> None:
    buffer = bytearray(32 * 2**20)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def copy(context: Context, name: str) -> Outcome:
    cuda = context.device == "cuda"
    source = torch.empty(COPY_BYTES // (64 if context.tiny else 1), dtype=torch.uint8, pin_memory=cuda)
    target = torch.empty_like(source, device=context.device)
    wait = torch.cuda.synchronize if cuda else lambda: None
    rate = source.numel() / 1e9 / median_of(context, 5, lambda: target.copy_(source, non_blocking=True), wait)
    total = gigabytes(weight_files(context.folder)["easel"])
    return judge(name, f"{rate:.1f} GB/s: {total / rate:.2f} s for all weights", gb_per_s=rate, floor_s=total / rate)
