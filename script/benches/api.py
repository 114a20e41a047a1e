"""`easel api` over a Cog server of the emoji model: what it costs, alone and under load."""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from benches.emoji import REPOSITORY, seconds
from tqdm import tqdm

from easel.local.client import call
from easel.local.server import Server, run_server

sys.path.insert(0, str(REPOSITORY))
from tests.support.api_process import Api, ask, run_api, wait_for_version

PREDICTIONS, CLIENTS, TURNS = 1000, 32, 100
PATH = "/v1/models/easel/emoji/predictions"
MB = 1e6


def inputs(seed: int) -> dict[str, Any]:
    return {"input": {"prompt": "a red apple", "num_inference_steps": 1, "seed": seed}}


class Receiver:
    """Counts `completed` webhooks, and shows each to `see`; while it hangs it answers nobody."""

    def __init__(self, see: Callable[[dict[str, Any]], None] = lambda body: None) -> None:
        self.completed: Counter[str] = Counter()
        self.hangs = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                while receiver.hangs:
                    time.sleep(0.1)
                see(body)
                receiver.completed[body["id"]] += 1
                with suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def hang(self, seconds: float) -> None:
        self.hangs = True
        time.sleep(seconds)
        self.hangs = False


@contextmanager
def api_over(*urls: str) -> Iterator[Api]:
    with tempfile.TemporaryDirectory() as folder:
        servers = [f"easel/emoji={url}" for url in urls]
        with run_api(Path(folder), servers, rate_limit=0, allow_private_webhooks=True, max_queue=5000) as api:
            wait_for_version(api)
            yield api


def bench_api(rounds: int) -> dict[str, float]:
    """Time one prediction, interleaved with a direct one, then 1,000 from 32 clients. The counts are fixed."""
    receiver = Receiver()
    with run_server(REPOSITORY, timeout=120) as cog, api_over(cog.url) as api:
        figures = overhead(cog, api)
        figures |= load(api, receiver)
    return figures


def overhead(cog: Server, api: Api) -> dict[str, float]:
    """Milliseconds that a prediction takes longer through the API; each turn is one of either side."""

    def direct() -> None:
        while call("POST", f"{cog.url}/predictions", inputs(1), 60)[0] == 409:  # its slot is still held
            time.sleep(0.005)

    def through() -> None:
        status, answer = ask(api, "POST", PATH, inputs(1), Prefer="wait")
        if status != 201 or not answer["output"]:
            raise SystemExit(f"The request failed: {answer}")

    sides: dict[str, list[float]] = {"direct": [], "through": []}
    for turn in tqdm(range(TURNS + 5), desc="overhead", leave=False):
        pair = [("direct", direct), ("through", through)]
        for name, work in pair if turn % 2 else pair[::-1]:
            sides[name].append(seconds(work))
    direct_s, through_s = (sorted(one[5:]) for one in sides.values())
    return {
        "api_direct_ms": 1000 * statistics.median(direct_s),
        "api_overhead_median_ms": 1000 * (statistics.median(through_s) - statistics.median(direct_s)),
        "api_overhead_p99_ms": 1000 * (p99(through_s) - p99(direct_s)),
    }


def p99(ordered: list[float]) -> float:
    return ordered[int(0.99 * (len(ordered) - 1))]


def load(api: Api, receiver: Receiver) -> dict[str, float]:
    assert api.process
    process = psutil.Process(api.process.pid)
    memory: list[float] = []
    answered: list[tuple[str, int]] = []

    def one(seed: int) -> None:
        body = inputs(seed) | {"webhook": receiver.url, "webhook_events_filter": ["completed"]}
        status, answer = ask(api, "POST", PATH, body, Prefer="wait")
        while status in (201, 202) and answer["status"] == "starting":
            time.sleep(0.5)
            status, answer = ask(api, "GET", f"/v1/predictions/{answer['id']}")
        if not answer.get("output") or answer["metrics"]["seeds"] != [seed]:
            raise SystemExit(f"The request failed: {answer}")
        answered.append((answer["id"], seed))

    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for k, _ in enumerate(tqdm(pool.map(one, range(PREDICTIONS)), total=PREDICTIONS, desc="load", leave=False)):
            if k % 100 == 99:
                memory.append(process.memory_info().rss / MB)
    took = time.monotonic() - started
    time.sleep(2)  # the last webhooks
    return {
        "api_load_answered": float(len({identity for identity, _ in answered})),
        "api_load_twice": float(sum(count > 1 for count in receiver.completed.values())),
        "api_load_webhooks": float(len(receiver.completed)),
        "api_load_per_s": PREDICTIONS / took,
        "api_memory_at_200_mb": memory[1],
        "api_memory_at_1000_mb": memory[-1],
    }
