"""What a signature costs: milliseconds and bytes for each format and size, the import before the first, and a start."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from easel.images.certificates import make_identity
from easel.images.encode import Metadata, encode_image
from easel.images.provenance import sign_image
from easel.local.server import run_server

ROOT = Path(__file__).resolve().parents[2]
SIDES = (128, 512, 1024, 2048)
METADATA: Metadata = {
    "prompt": "a red apple",
    "seed": 7,
    "model": "emoji",
    "weights": "sha256:" + "0" * 64,
    "easel": "0",
}
IMPORT = """
import time; began = time.perf_counter()
from easel.images.certificates import make_identity
from easel.images.provenance import sign_image
imported = time.perf_counter(); make_identity()
print(imported - began, time.perf_counter() - imported)
"""


def bench_provenance(rounds: int) -> dict[str, float]:
    """Return the medians; the images are noise, the largest that a file of a size can be."""
    identity = make_identity()
    found: dict[str, float] = {}
    for side in tqdm(SIDES, leave=False):
        noise = Image.effect_noise((side, side), 90).convert("RGB")
        for name in ("png", "jpg", "webp"):
            data = encode_image(noise, name, 80, METADATA)
            times = []
            for _ in range(rounds + 1):
                began = time.perf_counter()
                signed = sign_image(data, METADATA, identity)
                times.append(time.perf_counter() - began)
            found[f"{name} {side}: file, bytes"] = len(data)
            found[f"{name} {side}: added, bytes"] = len(signed) - len(data)
            found[f"{name} {side}: seconds"] = statistics.median(times[1:])
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True).stdout for _ in range(rounds)
    ]
    imports, makes = zip(*(map(float, run.split()) for run in runs), strict=True)
    found |= {"import, seconds": statistics.median(imports), "new certificate": statistics.median(makes)}
    return found | bench_starts(rounds)


def bench_starts(rounds: int) -> dict[str, float]:
    """Return the medians of seconds from process start to READY, signing and not, which take turns."""
    times: dict[str, list[float]] = {"on": [], "off": []}
    for _ in tqdm(range(rounds + 1), desc="starts", leave=False):
        for value, taken in times.items():
            began = time.perf_counter()
            with run_server(ROOT, timeout=120, environ={"EASEL_PROVENANCE": value}):
                taken.append(time.perf_counter() - began)
    return {f"start, {value}: seconds": statistics.median(taken[1:]) for value, taken in times.items()}
