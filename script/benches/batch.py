"""`easel batch` beside bare loops; then under kill -9, of actors and of the driver at random moments, resumed."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from benches.batch_rate import ROOT, WANTED_RATE, bench_rate, emoji, painters, run_loops
from pyarrow import parquet

from easel.batch.answer_row import digest_pixels

ROWS_PER_ROUND = 400  # five rounds, the default, are 2,000 requests
LOOPS = 8  # a bare loop does one of so many, for the rate and to compare pixels
SMALL = {"width": 64, "height": 64, "num_inference_steps": 1}
KILLS = ("actor", "driver", "actor", "driver")
KILLED = 0.4  # of the images are made by the last kill; the rest is undisturbed
SETTLED = 0.7  # from here on memory is measured: what an allocator keeps grows for some hundred requests
ALLOWED_MB = 10.0  # growth in 1,000 requests: a request whose image or latents stay would make more
WORDS = ("a red apple", "a dog", "panda", "pizza", "a rocket", "sunflower", "octopus", "a blue car", "fire", "robot")


@dataclass
class Run:
    """A batch that is killed: which kills are left, and (images, {process: MB of its own}) since the last one."""

    folder: Path
    count: int
    kills: list[str] = field(default_factory=lambda: list(KILLS))
    samples: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def bench_batch(rounds: int) -> dict[str, float]:
    """Return figures of `rounds` x 400 small images, killed four times, and of an eighth as many of the model's own
    size, undisturbed, beside bare loops. Raises when a row is lost or has other pixels than theirs.
    """
    count = rounds * ROWS_PER_ROUND
    few = count // LOOPS
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as name:
        folder = Path(name)
        write_requests(folder / "own.jsonl", few, {})
        figures = bench_rate(folder / "own.jsonl", few, folder / "own")
        print({name: round(value, 3) for name, value in figures.items()}, file=sys.stderr)
        write_requests(folder / "in.jsonl", count, SMALL)
        run_loops(folder / "in.jsonl", folder / "loops", range(few))
        began, run = time.monotonic(), Run(folder, count)
        while code := run_once(run):
            if code != -signal.SIGKILL:
                raise RuntimeError(f"the batch ended with {code}")
        seconds = time.monotonic() - began
        rows = parquet.read_table(folder / "out/results").to_pylist()
        assert sorted(row["custom_id"] for row in rows) == sorted(f"id/{k}" for k in range(count)), "lost or twice"
        assert not any(row["error"] for row in rows)
        compared = 0
        for row in rows:
            stored = [digest_pixels((folder / "out" / file).read_bytes()) for file in row["files"]]
            assert stored == row["digests"], f"{row['custom_id']}: the file has other pixels than the table says"
            if (bare := folder / f"loops/{row['row']:09d}.webp").exists():
                assert [digest_pixels(bare.read_bytes())] == stored, f"{row['custom_id']} differs from the bare loop's"
                compared += 1
        assert compared == few
        figures |= {
            "killed: rows": count,
            "killed: kills": len(KILLS) - len(run.kills),
            "killed: compared": compared,
            "killed: s": seconds,
            **{f"{name} MB in 1,000": growth(run, name) for name in ("driver", "actor")},
            "MB in 1,000 allowed": ALLOWED_MB,
        }
        wanted = {"rate": figures["batch / loops"] >= WANTED_RATE}
        wanted |= {name: figures[f"{name} MB in 1,000"] <= ALLOWED_MB for name in ("driver", "actor")}
        if missed := [name for name, reached in wanted.items() if not reached]:
            print(f"Not reached: {', '.join(missed)}", file=sys.stderr)
        return figures


def write_requests(path: Path, count: int, inputs: dict[str, int]) -> None:
    lines = [
        {"custom_id": f"id/{k}", "prompt": f"{WORDS[k % len(WORDS)]} {k}", "seed": k, **inputs} for k in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def run_once(run: Run) -> int:
    """Run until the end or until this kills the driver, and return the exit code. What was killed leaves `kills`."""
    command = [sys.executable, "-m", "easel.cli", "batch", str(run.folder / "in.jsonl"), str(run.folder / "out")]
    driver = subprocess.Popen(command, cwd=ROOT, env=emoji())
    goal = next_goal(run)
    try:
        while driver.poll() is None:
            time.sleep(random.random())
            actors, images = painters(driver.pid), done(run.folder)
            if actors and not run.kills:
                with suppress(psutil.Error):  # one has ended
                    memory = {"driver": own_memory(psutil.Process(driver.pid)), "actor": max(map(own_memory, actors))}
                    run.samples.append((images, memory))
            elif actors and images >= goal:
                kind = run.kills.pop(0)
                print(f"kill -9 of the {kind} at {images} images", file=sys.stderr)
                os.kill(driver.pid if kind == "driver" else random.choice(actors).pid, signal.SIGKILL)
                goal = next_goal(run)
    finally:
        driver.terminate()  # where this is interrupted
        code = driver.wait()
    return code


def next_goal(run: Run) -> int:
    """Return at how many images the next kill is due."""
    share = int(run.count * KILLED) // len(KILLS)
    return done(run.folder) + share // 2 + random.randrange(share // 2)


def own_memory(process: psutil.Process) -> float:
    """Return the MB that are resident and of no file: pages of files, such as torch's libraries, come and go as the
    system likes. Ray's object store, which is shared, is left out too; at this size nothing is in it.
    """
    memory = process.memory_info()
    return float(memory.rss - memory.shared) / 1e6


def growth(run: Run, name: str) -> float:
    """Return by how many MB a process grew in 1,000 requests, by the line through its samples."""
    points = [(images, memory[name]) for images, memory in run.samples if images >= SETTLED * run.count]
    slope, _ = np.polyfit([images / 1000 for images, _ in points], [size for _, size in points], 1)
    return float(slope)


def done(folder: Path) -> int:
    return sum(1 for _ in (folder / "out/images").glob("*/*.webp"))
