"""`easel api` over Cog servers of the emoji model: what it costs, under load, and when things are killed."""

import itertools
import json
import random
import socket
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from benches.emoji import REPOSITORY, seconds
from tqdm import tqdm

from easel.client import call
from easel.server import Server, run_server

sys.path.insert(0, str(REPOSITORY))
from tests.api_process import Api, ask, run_api, wait_for_version

PREDICTIONS, CLIENTS, TURNS, FAULTS = 1000, 32, 100, 200
PATH = "/v1/models/easel/emoji/predictions"
END = {"succeeded", "failed", "canceled", "aborted"}
MB = 1e6


def inputs(seed: int) -> dict[str, Any]:
    return {"input": {"prompt": "a red apple", "num_inference_steps": 1, "seed": seed}}


class Receiver:
    """Counts `completed` webhooks; while `hangs` it answers nobody."""

    def __init__(self) -> None:
        self.completed: Counter[str] = Counter()
        self.hangs = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                while receiver.hangs:
                    time.sleep(0.1)
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


@contextmanager
def api_over(*urls: str) -> Iterator[Api]:
    with tempfile.TemporaryDirectory() as folder:
        servers = [f"easel/emoji={url}" for url in urls]
        with run_api(Path(folder), servers, rate_limit=0, allow_private_webhooks=True, max_queue=5000) as api:
            wait_for_version(api)
            yield api


def bench_api(rounds: int) -> dict[str, float]:
    """Overhead of one prediction by turns, then 1,000 from 32 clients; `rounds` is not used, the counts are fixed."""
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


class Restarted:
    """A Cog server that is killed and comes back at the same port."""

    def __init__(self, stack: ExitStack) -> None:
        self._context = run_server(REPOSITORY, timeout=120)
        self.server = self._context.__enter__()
        self._port = int(self.server.url.rpartition(":")[2])
        self._busy = threading.Lock()
        self._starter = ThreadPoolExecutor(1)  # A server ends with the thread that started it.
        stack.callback(self._starter.shutdown)
        stack.callback(lambda: self._context.__exit__(None, None, None))

    def kill(self) -> None:
        if self._busy.acquire(blocking=False):  # otherwise it is dead already
            self.server.process.kill()
            self._starter.submit(self._come_back)

    def _come_back(self) -> None:
        try:
            self._context.__exit__(None, None, None)
            self._context = run_server(REPOSITORY, self._port, timeout=120)
            self.server = self._context.__enter__()
        finally:
            self._busy.release()

    def wait(self) -> None:
        with self._busy:
            pass


def bench_api_faults(rounds: int) -> dict[str, float]:
    """200 random faults under load; every accepted prediction must end. `rounds` is not used."""
    chance = random.Random(0)
    receiver = Receiver()
    counts: Counter[str] = Counter()
    accepted: list[str] = []
    stopped = threading.Event()
    with ExitStack() as stack:
        cogs = [Restarted(stack) for _ in range(2)]
        api = stack.enter_context(api_over(*(one.server.url for one in cogs)))
        seeds = itertools.count()

        def client() -> None:
            while not stopped.is_set():
                body = inputs(next(seeds)) | {"webhook": receiver.url, "webhook_events_filter": ["completed"]}
                with suppress(OSError, ValueError):
                    status, answer = ask(api, "POST", PATH, body)
                    if status == 201:
                        accepted.append(answer["id"])
                time.sleep(0.8)

        faults: dict[str, Callable[[], object]] = {
            "cog killed": lambda: chance.choice(cogs).kill(),
            "api killed": lambda: (api.kill(), api.start()),
            "database locked": lambda: lock(api, chance.uniform(0.1, 6)),
            "receiver hangs": lambda: hang(receiver, chance.uniform(0.1, 2)),
            "client gone": lambda: leave(api, next(seeds)),
        }
        clients = [threading.Thread(target=client, daemon=True) for _ in range(4)]
        for one in clients:
            one.start()
        for _ in tqdm(range(FAULTS), desc="faults", leave=False):
            name = chance.choice(list(faults))
            counts[name] += 1
            faults[name]()
            time.sleep(chance.uniform(0, 1))
        stopped.set()
        for one in clients:
            one.join()
        for one in cogs:
            one.wait()
        states = wait_until_all_ended(api)
        time.sleep(3)
    lost = [identity for identity in accepted if states.get(identity) not in END]
    ended = Counter(states.values())
    print({"faults": dict(counts), "accepted": len(states), "ended": dict(ended)})
    return {
        "faults": float(FAULTS),
        "faults_accepted": float(len(states)),
        "faults_succeeded": float(ended["succeeded"]),
        "faults_failed_in_words": float(ended["failed"]),
        "faults_lost": float(len(lost) + sum(state not in END for state in states.values())),
    }


def lock(api: Api, duration: float) -> None:
    with sqlite3.connect(api.folder / "easel.db", timeout=10) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(duration)
        other.rollback()
    other.close()


def hang(receiver: Receiver, duration: float) -> None:
    receiver.hangs = True
    time.sleep(duration)
    receiver.hangs = False


def leave(api: Api, seed: int) -> None:
    """Send a whole request, and be gone before the answer."""
    body = json.dumps(inputs(seed)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {api.token}\r\nPrefer: wait\r\n"
    with suppress(OSError), socket.create_connection(("127.0.0.1", api.port), 5) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def wait_until_all_ended(api: Api, timeout: float = 300) -> dict[str, str]:
    """The state of every prediction that was ever accepted, asked page by page, when none runs any more."""
    until = time.monotonic() + timeout
    while True:
        states: dict[str, str] = {}
        path: str | None = "/v1/predictions"
        while path:
            _, page = ask(api, "GET", path)
            states |= {one["id"]: one["status"] for one in page["results"]}
            path = page["next"] and page["next"].removeprefix(api.url)
        if END.issuperset(states.values()) or time.monotonic() > until:
            return states
        time.sleep(1)
