"""`easel batch` beside bare loops; then under kill -9, of actors and of the driver at random moments, resumed."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.batch_rate import ROOT, bench_rate, emoji, painters
from pyarrow import parquet

from easel.batch.answer_row import digest_pixels

ROWS_PER_ROUND = 400  # five rounds, the default, are 2,000 requests
KILLS = ("actor", "driver", "actor", "driver")
WORDS = ("a red apple", "a dog", "panda", "pizza", "a rocket", "sunflower", "octopus", "a blue car", "fire", "robot")


def bench_batch(rounds: int) -> dict[str, float]:
    """Return figures of `rounds` x 400 small images, killed four times, and of the first quarter, undisturbed, beside
    bare loops. Raises when a row is lost or has other pixels than theirs.
    """
    count = rounds * ROWS_PER_ROUND
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as name:
        folder = Path(name)
        write_requests(folder / "part.jsonl", count // 4)
        figures = bench_rate(folder / "part.jsonl", count // 4, folder)
        print({name: round(value, 3) for name, value in figures.items()}, file=sys.stderr)
        write_requests(folder / "in.jsonl", count)
        began, kills = time.monotonic(), list(KILLS)
        while code := run_once(folder, count, kills):
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
            bare = folder / "loops0" / f"{row['row']:09d}.webp"
            if bare.exists():
                assert [digest_pixels(bare.read_bytes())] == stored, f"{row['custom_id']} differs from the bare loop's"
                compared += 1
        assert compared == count // 4
        return figures | {
            "killed: rows": count,
            "killed: kills": len(KILLS) - len(kills),
            "killed: compared": compared,
            "killed: s": seconds,
        }


def write_requests(path: Path, count: int) -> None:
    small = {"width": 64, "height": 64, "num_inference_steps": 1}
    lines = [
        {"custom_id": f"id/{k}", "prompt": f"{WORDS[k % len(WORDS)]} {k}", "seed": k, **small} for k in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def run_once(folder: Path, count: int, kills: list[str]) -> int:
    """Run until the end or until this kills the driver, and return the exit code. What was killed leaves `kills`."""
    command = [sys.executable, "-m", "easel.cli", "batch", str(folder / "in.jsonl"), str(folder / "out")]
    driver = subprocess.Popen(command, cwd=ROOT, env=emoji())
    share = count // (len(KILLS) + 1)
    goal = done(folder) + share // 2 + random.randrange(share // 2)
    try:
        while driver.poll() is None:
            time.sleep(random.random())
            actors = painters(driver.pid)
            if kills and actors and done(folder) >= goal:
                kind = kills.pop(0)
                print(f"kill -9 of the {kind} at {done(folder)} images", file=sys.stderr)
                os.kill(driver.pid if kind == "driver" else random.choice(actors).pid, signal.SIGKILL)
                goal = done(folder) + share // 2 + random.randrange(share // 2)
    finally:
        driver.terminate()  # where this is interrupted
        code = driver.wait()
    return code


def done(folder: Path) -> int:
    return sum(1 for _ in (folder / "out/images").glob("*/*.webp"))
