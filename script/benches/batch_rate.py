"""Images a second of `easel batch` with two actors, and of two bare loops over the same requests."""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
ACTORS = 2
STEADY = (0.2, 0.8)  # of a side's images: both actors have begun, and none has ended
WANTED_RATE = 0.9


def bench_rate(requests: Path, count: int, folder: Path) -> dict[str, float]:
    """Return figures of both sides. The images of the loops stay in `folder`/loops0 and `folder`/loops1.

    The loops do one half before the batch and the other after it: a machine that gets slower slows both sides alike.
    """
    half = count // 2
    with tqdm(total=3, desc="loops / batch / loops") as bar:
        before = run_loops(requests, folder / "loops0", range(half))
        bar.update()
        batch = run_batch(requests, folder / "batch", count)
        bar.update()
        after = run_loops(requests, folder / "loops1", range(half, count))
        bar.update()
    loops = statistics.mean((before, after))
    return {
        "loops images a s": loops,
        "batch images a s": batch,
        "batch / loops": batch / loops,
        "batch / loops wanted": WANTED_RATE,
    }


def run_loops(requests: Path, output: Path, lines: range) -> float:
    """Return the images a second."""
    output.mkdir(parents=True)
    path = os.pathsep.join([str(ROOT / "script"), str(ROOT / "src")])
    environ = {**os.environ, "OMP_NUM_THREADS": str(cores()), "PYTHONPATH": path}  # as Ray has it for an actor
    command = [sys.executable, "-m", "benches.batch_loop", str(requests), str(output)]
    loops = [
        subprocess.Popen(
            [*command, str(lines.start + part), str(lines.stop), str(ACTORS)], env=environ, stderr=subprocess.DEVNULL
        )
        for part in range(ACTORS)
    ]
    return wait_for_rate(loops, output, len(lines))


def run_batch(requests: Path, output: Path, count: int) -> float:
    """Return the images a second."""
    command = [sys.executable, "-m", "easel.cli", "batch", str(requests), str(output), "--cpus-per-actor", str(cores())]
    driver = subprocess.Popen(command, cwd=ROOT, env=emoji(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return wait_for_rate([driver], output / "images", count)


def wait_for_rate(started: Sequence[subprocess.Popen[bytes]], images: Path, count: int) -> float:
    """Wait for a side's end, and return its images a second. Raises RuntimeError where it failed."""
    try:
        for one in started:
            one.wait()
    finally:
        for one in started:
            one.terminate()
            one.wait()
    ended = sorted(path.stat().st_mtime for path in images.rglob("*.webp"))
    if any(one.returncode for one in started) or len(ended) != count:
        raise RuntimeError(f"{images} has {len(ended)} images of {count}")
    first, last = (int(share * count) for share in STEADY)
    return (last - first) / (ended[last] - ended[first])


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
