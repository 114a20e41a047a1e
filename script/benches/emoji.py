"""The emoji model on this machine: one request over HTTP, and a start."""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from easel.local.client import call
from easel.local.server import run_server
from easel.models import load_model

REPOSITORY = Path(__file__).resolve().parents[2]
PROMPT = "a red apple"


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_of_turns(rounds: int, **sides: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each side; the sides take turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in tqdm(range(rounds + 1), desc=" / ".join(sides), leave=False):
        for name, work in sides.items():
            times[name].append(seconds(work))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def bench_request(rounds: int) -> dict[str, float]:
    import torch
    from diffusers import ZImagePipeline

    model = load_model(REPOSITORY / "weights" / "emoji")
    pipeline = ZImagePipeline.from_pretrained(model.folder, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    numbers = itertools.count()  # in the prompt: a server keeps the embeddings of those that it had before

    def bare() -> None:
        pipeline(
            f"{PROMPT} {next(numbers)}",
            height=128,
            width=128,
            num_inference_steps=model.num_inference_steps,
            guidance_scale=model.guidance_scale,
            max_sequence_length=model.max_prompt_tokens,
            generator=torch.Generator("cpu").manual_seed(1),
        )

    with run_server(REPOSITORY, timeout=120) as server:

        def over_http() -> None:
            inputs = {"prompt": f"{PROMPT} {next(numbers)}", "seed": 1}
            status, answer = call("POST", f"{server.url}/predictions", {"input": inputs}, 60)
            if (status, answer["status"]) != (200, "succeeded"):
                raise SystemExit(f"The request failed: {answer}")

        times = median_of_turns(rounds, bare=bare, http=over_http)
    return {
        "request_bare_s": times["bare"],
        "request_http_s": times["http"],
        "request_overhead_s": times["http"] - times["bare"],
        "request_overhead_allowed_s": 0.1 * times["bare"] + 0.02,
    }


def bench_start(rounds: int) -> dict[str, float]:
    def to_ready() -> None:
        with run_server(REPOSITORY, timeout=120):
            ready.append(time.perf_counter())

    ready: list[float] = []
    python = [sys.executable, "-c"]
    times: dict[str, list[float]] = {"torch": [], "easel": [], "ready": []}
    for _ in tqdm(range(rounds + 1), desc="import torch / imports of the runner / READY", leave=False):
        times["torch"].append(seconds(lambda: subprocess.run([*python, "import torch"], check=True)))
        times["easel"].append(seconds(lambda: subprocess.run([*python, "import predict"], check=True, cwd=REPOSITORY)))
        began = time.perf_counter()
        to_ready()
        times["ready"].append(ready[-1] - began)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    return {
        "start_import_torch_s": medians["torch"],
        "start_import_runner_s": medians["easel"],
        "start_ready_s": medians["ready"],
        "start_ratio": medians["ready"] / medians["torch"],
        "start_ratio_allowed": 3.0,
    }
