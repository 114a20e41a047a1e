"""Images a second and memory of `easel batch` with two actors, and of two bare loops over the same requests."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
ACTORS = 2
ROUNDS = 2  # a start takes a third of a round, and is not measured
STEADY = (0.2, 0.8)  # of a side's images: both actors have begun, and none has ended
SAMPLE_S = 1.0
WANTED_RATE = 0.9
ALLOWED_MB = 10.0  # growth in 1,000 requests: a request whose image or latents stay would make more
Processes = Callable[[], dict[str, list[psutil.Process]]]


@dataclass
class Side:
    """What is known of one side: images a second of each round, and growth in MB in 1,000 requests, by process."""

    rates: list[float] = field(default_factory=list)
    growth: dict[str, list[float]] = field(default_factory=dict)


def bench_rate(requests: Path, count: int, folder: Path) -> dict[str, float]:
    """Return figures of both sides, which take turns. The images of the last round stay in `folder`/loops."""
    sides = {"loops": Side(), "batch": Side()}
    for number in tqdm(range(ROUNDS), desc="loops / batch", leave=False):
        names = list(sides)
        for name in names if number % 2 == 0 else reversed(names):
            output = folder / f"{name}{number}"
            (run_loops if name == "loops" else run_batch)(requests, output, count, sides[name])
    rate = statistics.median(own / bare for own, bare in zip(sides["batch"].rates, sides["loops"].rates, strict=True))
    figures = {f"{name} images a s": statistics.median(side.rates) for name, side in sides.items()}
    figures |= {"batch / loops": rate, "batch / loops wanted": WANTED_RATE}
    for side in sides.values():
        figures |= {f"{name} MB in 1,000": max(values) for name, values in side.growth.items()}
    figures["MB in 1,000 allowed"] = ALLOWED_MB
    over = [name for name in ("driver", "actor") if figures[f"{name} MB in 1,000"] > ALLOWED_MB]
    if rate < WANTED_RATE or over:
        print(f"Not reached: {', '.join(['rate'] * (rate < WANTED_RATE) + over)}", file=sys.stderr)
    return figures


def run_loops(requests: Path, output: Path, count: int, side: Side) -> None:
    output.mkdir()
    path = os.pathsep.join([str(ROOT / "script"), str(ROOT / "src")])
    environ = {**os.environ, "OMP_NUM_THREADS": str(cores()), "PYTHONPATH": path}  # as Ray has it for an actor
    loops = [
        subprocess.Popen(
            [sys.executable, "-m", "benches.batch_loop", str(requests), str(output), str(part), str(ACTORS)],
            env=environ,
            stderr=subprocess.DEVNULL,
        )
        for part in range(ACTORS)
    ]
    watch(loops, output, count, lambda: {"loop": [psutil.Process(loop.pid) for loop in loops]}, side)


def run_batch(requests: Path, output: Path, count: int, side: Side) -> None:
    command = [sys.executable, "-m", "easel.cli", "batch", str(requests), str(output), "--cpus-per-actor", str(cores())]
    driver = subprocess.Popen(command, cwd=ROOT, env=emoji(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watch(
        [driver],
        output / "images",
        count,
        lambda: {"driver": [psutil.Process(driver.pid)], "actor": painters(driver.pid)},
        side,
    )


def watch(
    started: Sequence[subprocess.Popen[bytes]], images: Path, count: int, processes: Processes, side: Side
) -> None:
    """Wait for a side's end, and add its rate and growth. Raises RuntimeError where it failed."""
    samples = list[tuple[int, dict[str, float]]]()
    try:
        while any(one.poll() is None for one in started):
            time.sleep(SAMPLE_S)
            done = sum(1 for _ in images.rglob("*.webp"))
            try:
                if STEADY[0] * count <= done < count:
                    samples.append((done, {name: most(found) for name, found in processes().items() if found}))
            except psutil.Error:  # one has ended
                continue
    finally:
        for one in started:
            one.terminate()
            one.wait()
    ended = sorted(path.stat().st_mtime for path in images.rglob("*.webp"))
    if any(one.returncode for one in started) or len(ended) != count:
        raise RuntimeError(f"{images} has {len(ended)} images of {count}")
    first, last = (int(share * count) for share in STEADY)
    side.rates.append((last - first) / (ended[last] - ended[first]))
    for name in samples[-1][1]:
        points = [(done, memory[name]) for done, memory in samples if name in memory]
        slope, _ = np.polyfit([done / 1000 for done, _ in points], [memory for _, memory in points], 1)
        side.growth.setdefault(name, []).append(float(slope))


def most(processes: Sequence[psutil.Process]) -> float:
    """Return the resident memory of the largest of these, in MB."""
    return max(process.memory_info().rss for process in processes) / 1e6


def painters(pid: int) -> list[psutil.Process]:
    """Return the actors of a batch by the process that the command is; none when it has ended."""
    try:
        return [child for child in psutil.Process(pid).children(recursive=True) if "MapWorker" in child.name()]
    except psutil.Error:
        return []


def cores() -> int:
    return max((os.cpu_count() or 1) // ACTORS, 1)


def emoji() -> dict[str, str]:
    """Return the environment of a batch. Other programs on the machine shall slow both sides alike."""
    return {**os.environ, "EASEL_MODEL": "emoji", "RAY_worker_niceness": "0"}
