"""The download of one file from nginx on loopback: by Easel, and by the tools that people use for it."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.emoji import REPOSITORY, seconds
from tqdm import tqdm

SIZE = 2_000_000_000  # bytes, where nothing limits a connection
LIMITED_SIZE = 300_000_000  # bytes, where one connection takes ten seconds for them
# Bytes per second that one connection carries. Object stores give more, but there nginx takes both of two cores.
CONNECTION_RATE = 25_000_000
# Timed inside, since the start of Python is no part of a download, and begun with a second, as nginx counts in those.
EASEL = """
import json, os, resource, sys, time
from pathlib import Path
from easel.weights.download.fetch import Address, fetch_file

at_sync, sync = [], os.fsync
os.fsync = lambda file: (at_sync.append(time.perf_counter()), sync(file))
url, target, digest = sys.argv[1:]
time.sleep(1.05 - time.time() % 1)
began = time.perf_counter()
fetch_file(
    lambda: Address(url), Path(target), label="it", size=None, digest=digest, progress=lambda count: None, log=print
)
ended = time.perf_counter()
peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([at_sync[0] - began, ended - began, peak_kib * 1024 / 1e6]))
"""
HUB = """
import json, sys, time
from huggingface_hub.file_download import http_get

time.sleep(1.05 - time.time() % 1)
began = time.perf_counter()
with open(sys.argv[2], "wb") as stream:
    http_get(sys.argv[1], stream)
print(json.dumps([time.perf_counter() - began]))
"""


def bench_fetch(rounds: int) -> dict[str, float]:
    """Median seconds of each tool; `synced`: until the bytes are on the disk, which of these only Easel waits for."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.support.nginx import NGINX, STREAM_MODULE, run_nginx

    programs = {"nginx": NGINX, "curl": shutil.which("curl"), "aria2": shutil.which("aria2c")}
    missing = [name for name, path in programs.items() if path is None]
    missing += [] if STREAM_MODULE.is_file() else ["libnginx-mod-stream"]
    if missing:
        raise SystemExit(f"This bench needs more programs: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as name:
        folder = Path(name)
        root, limited, free = (folder / part for part in ("root", "limited", "free"))
        for path in (root, limited, free):
            path.mkdir()
        digest, limited_digest = make_file(root / "file", SIZE), make_file(root / "part", LIMITED_SIZE)
        # Its own limit holds for one request, with a second's worth at once; the other one for all of a connection.
        with run_nginx(root, limited, server=f"limit_rate {CONNECTION_RATE};") as nginx:
            by_request = run_interleaved(rounds, f"{nginx.url}/part", folder / "out", limited_digest)
        with run_nginx(root, limited, connection_rate=CONNECTION_RATE) as nginx:
            by_connection = run_interleaved(rounds, f"{nginx.url}/part", folder / "out", limited_digest)
        with run_nginx(root, free) as nginx:
            fast = run_interleaved(rounds, f"{nginx.url}/file", folder / "out", digest)
    return {
        **{f"fetch_limit_rate_{name}": value for name, value in by_request.items()},
        "fetch_limit_rate_ratio": fastest_other(by_request) / by_request["easel_s"],
        **{f"fetch_connection_{name}": value for name, value in by_connection.items()},
        "fetch_connection_ratio": fastest_other(by_connection) / by_connection["easel_s"],
        "fetch_limited_ratio_wanted": 1.0,
        **{f"fetch_{name}": value for name, value in fast.items()},
        "fetch_ratio": fast["curl_s"] / fast["easel_s"],
        "fetch_synced_ratio": fast["curl_synced_s"] / fast["easel_synced_s"],
        "fetch_ratio_wanted": 0.8,
        "fetch_peak_mb_allowed": 150.0,
    }


def fastest_other(medians: dict[str, float]) -> float:
    return min(medians[f"{tool}_s"] for tool in ("curl", "aria2", "hub"))


def make_file(path: Path, size: int) -> str:
    """`size` random bytes, on disk and in the page cache; their digest."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for start in range(0, size, 2**24):
            part = os.urandom(min(2**24, size - start))
            digest.update(part)
            stream.write(part)
        os.fsync(stream.fileno())
    return "sha256:" + digest.hexdigest()


def run_interleaved(rounds: int, url: str, target: Path, digest: str) -> dict[str, float]:
    measured = [fetch_by_each(url, target, digest) for _ in tqdm(range(rounds + 1), desc="downloads", leave=False)]
    return {name: statistics.median(row[name] for row in measured[1:]) for name in measured[0]}


def fetch_by_each(url: str, target: Path, digest: str) -> dict[str, float]:
    """Return the figures of one round. A file is removed at once, so that writing it back disturbs nobody."""
    easel_s, easel_synced_s, peak_mb = run_python(EASEL, url, str(target), digest)
    target.unlink()
    curl_s = run_for("curl", "-s", "-o", str(target), url)
    sync_s = seconds(lambda: subprocess.run(["sync", str(target)], check=True))
    target.unlink()
    # No more than it needs to be fast: by default it writes the whole file in zeros first.
    options = ("-q", "-x8", "-s8", "--file-allocation=none", "-d", str(target.parent), "-o", target.name)
    aria2_s = run_for("aria2c", *options, url)
    target.unlink()
    (hub_s,) = run_python(HUB, url, str(target))
    target.unlink()
    return {
        "easel_s": easel_s,
        "curl_s": curl_s,
        "aria2_s": aria2_s,
        "hub_s": hub_s,
        "easel_synced_s": easel_synced_s,
        "curl_synced_s": curl_s + sync_s,
        "peak_mb": peak_mb,
    }


def run_python(program: str, *arguments: str) -> list[float]:
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    figures: list[float] = json.loads(done.stdout)
    return figures


def run_for(*command: str) -> float:
    time.sleep(1.05 - time.time() % 1)  # see above
    return seconds(lambda: subprocess.run(command, check=True))
