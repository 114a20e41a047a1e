"""EASEL_COMPILE=1: the compiler is found, and what a first and a second start pay for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from PIL import Image

from gpu_check.context import Context, judge, judge_time, median_of
from gpu_check.requests import make, reference
from gpu_check.rows import NotRun, Outcome
from gpu_check.server_rows import find_in_setup_logs, running, server_environment, start


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    with server_environment(context), ExitStack() as stack:
        context.keep["stack"] = stack
        os.environ["EASEL_COMPILE"] = "1"
        shutil.rmtree(context.folder / "cache" / "compile", ignore_errors=True)
        yield


def compiler(context: Context, name: str) -> Outcome:
    values = torch.linspace(-1, 1, 1000, device=context.device)

    def wave(x: torch.Tensor) -> torch.Tensor:
        return x.sin() * 2 + x.cos()

    difference = float((torch.compile(wave)(values) - wave(values)).abs().max())
    return judge(name, f"compiled; differs by {difference:.1e}", "at most 1e-5", difference <= 1e-5)


def first_start(context: Context, name: str) -> Outcome:
    return compiled_start(context, name)


def second_start(context: Context, name: str) -> Outcome:
    first = context.earlier("compile.first_start", "compile_s")
    if first is None:
        raise NotRun("there was no first start")
    return compiled_start(context, name, first)


def compiled_start(context: Context, name: str, first: float | None = None) -> Outcome:
    """With an empty folder of inductor's, so that only what Easel keeps can help."""
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        ready = start(context)
        server = running(context)
        said = find_in_setup_logs(server, r"compile: (?:([\d.]+) s.*|.*)")
        if not said or not said[1]:
            return judge(name, said[0][:300] if said else "the log says nothing of compiling", "compiled", False)
        compiled = float(said[1])
        inputs = reference(context)
        image = make(server.url, **inputs)[0]
        seconds = median_of(context, 3, lambda: make(server.url, **inputs))
        context.keep["stack"].close()
    path = context.folder / "A.png"
    exact = np.asarray(Image.open(path), dtype=int) if path.is_file() else None
    difference = int(abs(exact - image).max()) if exact is not None else None
    wanted = f"at most 0.3 of the first start's {first:.1f} s" if first else ""
    measured = f"compiling {compiled:.1f} s, READY after {ready:.1f} s, a small request {seconds:.2f} s"
    measured += f"; differs by {difference} of 255" if difference is not None else ""
    good = first is None or compiled <= 0.3 * first
    figures = {"compile_s": compiled, "ready_s": ready, "request_s": seconds, "difference": difference}
    return judge_time(context, name, measured, wanted, good, **figures)
