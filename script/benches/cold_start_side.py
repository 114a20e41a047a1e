"""One side of the cold start, as a program of its own: `python cold_start_side.py SIDE MODEL_FOLDER`.

The last line of its output is JSON: seconds since 1970 when the imports and when everything was done, and memory.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

PAGE = 4096


def from_pretrained(folder: Path, **options: bool) -> tuple[float, list[Any]]:
    import torch
    from diffusers import ZImagePipeline

    imported = time.time()
    pipeline = ZImagePipeline.from_pretrained(folder, torch_dtype=torch.bfloat16, **options)
    return imported, list(pipeline.components.values())


def example(folder: Path) -> tuple[float, list[Any]]:
    """As examples/z-image-turbo/run.py of replicate/cog loads it."""
    return from_pretrained(folder, low_cpu_mem_usage=False)


def imports(folder: Path) -> tuple[float, list[Any]]:
    """What `easel` below imports, and nothing else."""
    from diffusers import ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline  # noqa: F401
    from transformers import Qwen2Tokenizer, Qwen3Model  # noqa: F401

    import easel.inference.engine
    import easel.inference.loader  # noqa: F401
    import predict  # noqa: F401

    return time.time(), []


def read(folder: Path) -> tuple[float, list[Any]]:
    """Every byte once, and nothing else."""
    began = time.time()
    buffer = bytearray(32 * 2**20)
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass
    return began, []


def easel(folder: Path) -> tuple[float, list[Any]]:
    """What Cog runs before the first request."""
    from predict import Runner

    imported = time.time()
    runner = Runner()
    runner.setup()
    return imported, list(runner.service.engine.components.modules.values())


SIDES = {"example": example, "plain": from_pretrained, "imports": imports, "read": read, "easel": easel}


def touch(modules: list[Any]) -> None:
    """Read a byte of every page of every parameter: only then is it sure that all are in memory."""
    import torch

    for module in modules:
        if isinstance(module, torch.nn.Module):
            for parameter in module.parameters():
                parameter.detach().contiguous().view(-1).view(torch.uint8)[::PAGE].sum().item()


def memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    imported, modules = SIDES[sys.argv[1]](Path(sys.argv[2]))
    if modules:
        touch(modules)
    ended = time.time()
    print(json.dumps({"imported": imported, "ended": ended, "peak": memory("VmHWM"), "resident": memory("VmRSS")}))
