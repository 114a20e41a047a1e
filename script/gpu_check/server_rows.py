"""Cog's own server on the checkpoint: how fast it is ready, what memory it takes, and that images stay the same."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from easel.local.client import call
from easel.local.server import Server, run_server
from gpu_check.context import REPOSITORY, Context, drop_from_page_cache, gigabytes, judge, judge_time, weight_files
from gpu_check.requests import (
    answer,
    cancel_in_the_middle,
    data_url,
    images,
    is_varied,
    left_half,
    make,
    reference,
    source_image,
    write_lora,
)
from gpu_check.rows import NotRun, Outcome

SETUP = r"setup: imports ([\d.]+) s while the files were read; ([\d.]+) s more until"


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    with server_environment(context), ExitStack() as stack:
        context.keep["stack"] = stack
        context.keep["device_memory_before"] = memory_in_use()
        yield


@contextmanager
def server_environment(context: Context) -> Iterator[None]:
    """The variables of a server of the checkpoint, for this process and its children."""
    for name in ("EASEL_WEIGHTS_DIR", "EASEL_COMPILE", "EASEL_ATTENTION", "EASEL_GO_FAST", "EASEL_MEMORY"):
        os.environ.pop(name, None)
    os.environ |= {
        "EASEL_MODEL": "z-image-turbo",
        "EASEL_CACHE_DIR": str(context.folder / "cache"),
        "EASEL_ALLOW_FILES": "1",
        "HF_HUB_OFFLINE": "1",
    }
    # Cog starts its worker as `python`, and a machine may have only `python3`.
    if not (Path(sys.executable).parent / "python").exists():
        named = context.folder / "bin" / "python"
        named.parent.mkdir(exist_ok=True)
        named.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        named.chmod(0o755)
        os.environ["PATH"] = f"{named.parent}{os.pathsep}{os.environ['PATH']}"
    yield


def start(context: Context) -> float:
    """Seconds from the start of a new server's process to READY; the old one is stopped before."""
    stack: ExitStack = context.keep["stack"]
    stack.close()
    began = time.perf_counter()
    context.keep["server"] = stack.enter_context(run_server(context.folder, timeout=300))
    return time.perf_counter() - began


def running(context: Context) -> Server:
    """The server, started anew if there is none or its process has ended."""
    server: Server | None = context.keep.get("server")
    if server is None or server.process.poll() is not None:
        start(context)
    running: Server = context.keep["server"]
    return running


def find_in_setup_logs(server: Server, pattern: str) -> re.Match[str] | None:
    """Where the logs of the setup first match. Lines that come as the server gets READY are in its log file alone."""
    for _ in range(20):
        kept = call("GET", f"{server.url}/health-check")[1]["setup"]["logs"]
        printed = os.pread(server.log.fileno(), 2**20, 0).decode(errors="replace") if server.log else ""
        if found := re.search(pattern, kept) or re.search(pattern, printed):
            return found
        time.sleep(0.1)
    return None


def ready(context: Context, name: str, plain: str) -> Outcome:
    seconds = start(context)
    found = find_in_setup_logs(context.keep["server"], SETUP)
    imports, load = map(float, found.groups()) if found else (0.0, 0.0)
    text = f"{seconds:.1f} s, of it imports {imports:.1f} s, then file to device {load:.1f} s more"
    other = context.earlier(f"plain.{plain}", "seconds")
    wanted = f"at most plain from_pretrained's {other:.1f} s" if other else ""
    good = other is None or seconds <= other
    return judge_time(context, name, text, wanted, good, seconds=seconds, imports_s=imports, load_s=load, plain_s=other)


def cold(context: Context, name: str) -> Outcome:
    drop_from_page_cache(context, weight_files(context.folder)["easel"])
    outcome = ready(context, name, "cold")
    context.keep["A of the cold start"] = make(running(context).url, **reference(context))[0]
    return outcome


def warm(context: Context, name: str) -> Outcome:
    outcome = ready(context, name, "warm")
    (image,) = make(running(context).url, **reference(context))
    Image.fromarray(image).save(context.folder / "A.png")
    before = context.keep.get("A of the cold start")
    if before is not None and not np.array_equal(before, image):
        return judge(name, "A is another image than after the cold start", "the same image", False)
    return outcome


def memory_in_use() -> float | None:
    """GB in use on the first card, by all processes; None without one."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return float(done.stdout) * 2**20 / 1e9 if done.returncode == 0 else None


def expected_memory() -> float:
    """GB at 1024 x 1024, as docs/deploy.md computes it."""
    text = (REPOSITORY / "docs" / "deploy.md").read_text()
    row = re.search(r"^\| 1024 x 1024 \|.*\| ([\d.]+) GB \|$", text, re.MULTILINE)
    if not row:
        raise NotRun("docs/deploy.md has no row for 1024 x 1024")
    return float(row[1])


def device_memory(context: Context, name: str) -> Outcome:
    before = context.keep["device_memory_before"]
    if context.device != "cuda" or before is None:
        raise NotRun("there is no CUDA device")
    width, height = context.size
    answer(running(context).url, {**reference(context), "width": width, "height": height, "num_inference_steps": 8})
    used, wanted = (memory_in_use() or 0.0) - before, expected_memory()
    return judge(name, f"{used:.1f} GB", f"at most {wanted} GB", used <= wanted, gb=used)


def host_memory(context: Context, name: str) -> Outcome:
    pid = running(context).process.pid
    tasks = Path(f"/proc/{pid}/task").iterdir()
    (worker,) = (child for task in tasks for child in (task / "children").read_text().split())
    peak = status_gigabytes(int(worker), "VmHWM")
    private = status_gigabytes(int(worker), "RssAnon")
    weights = gigabytes(weight_files(context.folder)["easel"])
    wanted = 1.1 * weights + 3.0  # libraries, CUDA's own, pinned buffers
    text = f"{peak:.1f} GB, of which {peak - private:.1f} GB are pages of files"
    return judge(name, text, f"at most {wanted:.1f} GB", peak <= wanted, peak_gb=peak, private_gb=private)


def status_gigabytes(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field)) / 1e9


def a_b_a(context: Context, name: str, **changes: Any) -> Outcome:
    """Request A, then A with these changes, then A: the first and the last are the same pixels."""
    url = running(context).url
    before, made, after = (make(url, **{**reference(context), **one})[0] for one in ({}, changes, {}))
    problems = [
        text
        for text, wrong in (
            ("A has changed", not np.array_equal(before, after)),
            ("B is the same as A", np.array_equal(before, made)),
            ("A is constant or not finite", not is_varied(before)),
            ("B is constant or not finite", not is_varied(made)),
        )
        if wrong
    ]
    return judge(name, "; ".join(problems) or "the same pixels", "the same pixels", not problems)


def text(context: Context, name: str) -> Outcome:
    return a_b_a(context, name, prompt="a red apple", seed=4)


def guidance(context: Context, name: str) -> Outcome:
    return a_b_a(context, name, guidance_scale=3, negative_prompt="a cat")


def four(context: Context, name: str) -> Outcome:
    url, inputs = running(context).url, reference(context)
    together = make(url, **inputs, num_outputs=4)
    alone = [make(url, **{**inputs, "seed": inputs["seed"] + k})[0] for k in range(4)]
    wrong = [k for k in range(4) if not np.array_equal(together[k], alone[k])]
    said = f"images {wrong} differ" if wrong else "the same pixels"
    return judge(name, said, "the same pixels", not wrong)


def image(context: Context, name: str) -> Outcome:
    return a_b_a(context, name, image=data_url(source_image(context)), prompt_strength=0.6)


def inpaint(context: Context, name: str) -> Outcome:
    changes = {"image": data_url(source_image(context)), "mask": data_url(left_half(context))}
    outcome = a_b_a(context, name, **changes, prompt_strength=1)
    (painted,) = make(running(context).url, **reference(context), **changes, prompt_strength=1)
    edge = reference(context)["width"] // 2 + 16  # beyond the mask's soft edge
    if not np.array_equal(painted[:, edge:], np.asarray(source_image(context))[:, edge:]):
        return judge(name, "the image changes outside of the mask", "the same pixels there", False)
    return outcome


def lora(context: Context, name: str) -> Outcome:
    return a_b_a(context, name, lora_weights=[str(write_lora(context.folder, 0))])


def four_loras(context: Context, name: str) -> Outcome:
    files = [str(write_lora(context.folder, seed)) for seed in range(4)]
    return a_b_a(context, name, lora_weights=files, lora_scales=[0.5])


def safety(context: Context, name: str) -> Outcome:
    url, inputs = running(context).url, reference(context)
    checked, unchecked = answer(url, inputs), answer(url, {**inputs, "disable_safety_checker": True})
    seconds = checked["metrics"]["timings"].get("check_safety")
    blocked = checked["metrics"]["safety"]["blocked"]
    same = np.array_equal(images(checked)[0], images(unchecked)[0])
    good = seconds is not None and blocked == [] and same
    measured = f"{(seconds or 0) * 1000:.0f} ms an image; blocked: {blocked or 'none'}"
    return judge(name, measured, "it runs, blocks none, the same image", good, check_safety_s=seconds)


def cancel(context: Context, name: str) -> Outcome:
    url, inputs = running(context).url, reference(context)
    (before,) = make(url, **inputs)
    width, height = context.size
    long_one = {**inputs, "width": width, "height": height, "num_inference_steps": 50, "num_outputs": 4}
    status = cancel_in_the_middle(context, url, long_one)
    (after,) = make(url, **inputs)
    same = np.array_equal(before, after)
    said = f"{status}; the next image is {'the same' if same else 'another'}"
    return judge(name, said, "canceled; the same", status == "canceled" and same)
