"""`easel batch` under kill -9: actors and the driver at random moments, resumed; then what is there."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from pyarrow import parquet

from easel.batch.answer_row import digest_pixels

ROOT = Path(__file__).resolve().parents[2]
ROWS_PER_ROUND = 400  # five rounds, the default, are 2,000 requests
KILLS = ("actor", "driver", "actor", "driver")
TOTAL_S = 3600.0
WORDS = ("a red apple", "a dog", "panda", "pizza", "a rocket", "sunflower", "octopus", "a blue car", "fire", "robot")


def bench_batch(rounds: int) -> dict[str, float]:
    """Return figures of a batch of `rounds` x 400 small images, killed four times. Raises when a row is lost."""
    count = rounds * ROWS_PER_ROUND
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as name:
        folder = Path(name)
        write_requests(folder / "in.jsonl", count)
        began, memory = time.monotonic(), list[int]()
        kills = list(KILLS)
        while run_once(folder, count, kills, memory) != 0:
            if time.monotonic() - began > TOTAL_S:
                raise RuntimeError("the batch did not end")
        seconds = time.monotonic() - began
        rows = parquet.read_table(folder / "out/results").to_pylist()
        assert sorted(row["custom_id"] for row in rows) == sorted(f"id/{k}" for k in range(count)), "lost or twice"
        assert not any(row["error"] for row in rows)
        wrong = 0
        for row in rows:
            stored = [digest_pixels((folder / "out" / file).read_bytes()) for file in row["files"]]
            wrong += stored != row["digests"]
        assert not wrong
        first, last = memory[len(memory) // 4], memory[-1]
        return {
            "batch rows": count,
            "batch kills": len(KILLS) - len(kills),
            "batch s": seconds,
            "batch s an image": sum(row["seconds"] for row in rows) / count,
            "batch actor MB early": first / 1e6,
            "batch actor MB late": last / 1e6,
        }


def write_requests(path: Path, count: int) -> None:
    small = {"width": 64, "height": 64, "num_inference_steps": 1}
    lines = [{"custom_id": f"id/{k}", "prompt": f"{WORDS[k % len(WORDS)]} {k}", **small} for k in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def run_once(folder: Path, count: int, kills: list[str], memory: list[int]) -> int:
    """Run until the end or until this kills the driver, and return the exit code. What was killed leaves `kills`."""
    command = [sys.executable, "-m", "easel.cli", "batch", str(folder / "in.jsonl"), str(folder / "out")]
    driver = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "EASEL_MODEL": "emoji"})
    share = count // (len(KILLS) + 1)
    goal = done(folder) + share // 2 + random.randrange(max(share, 1))
    while driver.poll() is None:
        time.sleep(1)
        actors = painters(driver.pid)
        memory += [max(actor.memory_info().rss for actor in actors if actor.is_running())] if actors else []
        if kills and actors and done(folder) >= goal:
            kind = kills.pop(0)
            print(f"kill -9 of the {kind} at {done(folder)} images", file=sys.stderr)
            os.kill(driver.pid if kind == "driver" else random.choice(actors).pid, signal.SIGKILL)
            goal = done(folder) + share
    return driver.wait()


def painters(pid: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(pid).children(recursive=True) if "MapWorker" in child.name()]
    except psutil.Error:
        return []


def done(folder: Path) -> int:
    return sum(1 for _ in (folder / "out/images").glob("*/*.webp"))
