"""The cold start: from the start of a process, with nothing in the page cache, to all weights in memory and usable."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
NAME = "z-image-bench"
SIDES = ("example", "plain", "imports", "read", "easel")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def bench_cold_start(rounds: int) -> dict[str, float]:
    root = REPOSITORY / ".cache" / "bench" / "cold-start"
    if not (root / "cache").is_dir() or (root / "files").exists():
        print(f"Making a checkpoint of 4 GB in {root} ...")
        subprocess.run(
            [sys.executable, HERE / "cold_start_checkpoint.py", root, NAME, REPOSITORY],
            check=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        )
    (root / "predict.py").write_bytes((REPOSITORY / "predict.py").read_bytes())
    (folder,) = (root / "cache" / "snapshots" / NAME).iterdir()
    if not os.access(DROP_CACHES, os.W_OK):
        raise SystemExit(
            f"The cold start needs an empty page cache, and {DROP_CACHES} cannot be written: run it as root."
        )
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in tqdm(range(rounds), desc=" / ".join(SIDES), leave=False):
        for side in SIDES:
            results[side].append(run_side(side, root, folder))
    seconds = {side: statistics.median(one["seconds"] for one in results[side]) for side in SIDES}
    figures = {f"cold_{side}_s": seconds[side] for side in SIDES}
    figures |= {f"cold_{side}_peak_gb": max(one["peak"] for one in results[side]) / 1e9 for side in SIDES}
    base = statistics.median(one["peak"] for one in results["imports"])
    peak = max(one["peak"] for one in results["easel"])
    return figures | {
        "cold_weights_gb": size / 1e9,
        "cold_to_example": seconds["easel"] / seconds["example"],
        "cold_to_example_allowed": 0.55,
        "cold_to_longer": seconds["easel"] / max(seconds["imports"], seconds["read"]),
        "cold_to_longer_allowed": 1.15,
        "cold_memory": (peak - base) / size,  # without what the imports take
        "cold_memory_allowed": 1.1,
    }


def run_side(side: str, root: Path, folder: Path) -> dict[str, float]:
    subprocess.run(["sync"], check=True)
    DROP_CACHES.write_text("3")
    environment = {
        **os.environ,
        "EASEL_MODEL": NAME,
        "EASEL_CACHE_DIR": str(root / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(root), str(REPOSITORY / "src")]),
    }
    program: list[str | Path] = [sys.executable, HERE / "cold_start_side.py", side, folder]
    began = time.time()
    done = subprocess.run(program, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": result["ended"] - began, "peak": result["peak"]}
