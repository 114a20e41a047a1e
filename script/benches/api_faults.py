"""`easel api` over Cog servers of the emoji model, while things are killed, locked, hang and leave."""

import itertools
import json
import random
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from benches.api import PATH, Receiver, api_over, inputs
from benches.emoji import REPOSITORY
from tqdm import tqdm

from easel.server import run_server
from tests.api_process import Api, ask

FAULTS = 200
END = {"succeeded", "failed", "canceled", "aborted"}


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
