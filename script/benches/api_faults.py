"""`easel api` while Cog servers, its database, its disk, its callers and itself break at random moments.

Promised: every accepted prediction ends, once and in words; no end is taken back; none is run twice; the event loop
never stands over 0.25 s; memory stays under 500 MB. A promise that is broken ends the bench with an error.
"""

import json
import os
import random
import resource
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benches.api import Receiver
from benches.emoji import REPOSITORY
from tqdm import tqdm

sys.path.insert(0, str(REPOSITORY))
from benches.faults.clients import HOSTILE, Client, leave, send_hostile, sit_idle
from benches.faults.observers import ENDS, Memory, Reader, Watch, list_page, runs_of, stalls_of
from benches.faults.servers import POSTGRES, Cog, Postgres, fill_disk, small_disk

from tests.support.api_process import Api, ask, run_api, wait_for_version

TOKENS = {"token-of-anna": "anna", "token-of-ben": "ben", "token-of-cleo": "cleo"}
COGS, CLIENTS = 4, 6
PREDICTIONS_A_FAULT = 4  # 2,000 for 500 faults
MAX_STALL_S, MAX_MEMORY_MB = 0.25, 500
FULL = 500


@dataclass
class Verdict:
    """What one run came to; `broken` names each promise that was not kept."""

    figures: dict[str, float] = field(default_factory=dict[str, Any])
    broken: list[str] = field(default_factory=list)

    def want(self, good: bool, sentence: str) -> None:
        if not good:
            self.broken.append(sentence)


def bench_api_faults(rounds: int) -> dict[str, float]:
    """`rounds` faults on SQLite, or 500 for the usual 5 rounds; then a fifth as many on Postgres, if it is there."""
    faults = FULL if rounds == 5 else rounds
    figures: dict[str, float] = {}
    broken: list[str] = []
    for database in ("sqlite", "postgres") if POSTGRES else ("sqlite",):
        count = faults if database == "sqlite" else max(faults // 5, 5)
        verdict = run_faults(count, database)
        figures |= {f"faults_{database}_{name}": value for name, value in verdict.figures.items()}
        broken += [f"{database}: {one}" for one in verdict.broken]
    if broken:
        print(json.dumps(figures))
        raise SystemExit("\n".join(["Broken promises:", *broken]))
    return figures


def restart(api: Api) -> None:
    api.kill()
    api.start()


def run_faults(count: int, database: str) -> Verdict:
    chance = random.Random(count)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = folder / "data"
        on_small_disk = stack.enter_context(small_disk(data))
        postgres = Postgres(folder / "postgres") if database == "postgres" else None
        if postgres:
            stack.callback(postgres.stop)
        cogs = [Cog(folder / "ledger") for _ in range(COGS)]
        for cog in cogs:
            stack.callback(cog.stop)
        stalls = folder / "stalls"
        environment = {
            "EASEL_API_TOKENS": ",".join(f"{token} {account}" for token, account in TOKENS.items()),
            "EASEL_BENCH_STALLS": str(stalls),
            "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("script", "src", ".")),
            **({"DATABASE_URL": postgres.url} if postgres else {}),
        }
        prefix = [sys.executable, "-m", "benches.faults.heartbeat"]
        servers = [f"easel/emoji={cog.url}" for cog in cogs]
        options = {"rate_limit": 0, "allow_private_webhooks": True, "max_queue": 5000}
        api = stack.enter_context(run_api(data, servers, environment, prefix, **options))
        api.token = next(iter(TOKENS))
        wait_for_version(api)
        reader = Reader()
        receiver = Receiver(lambda body: reader.see(body, "webhook", 0.0))
        memory = Memory(api)
        struck = threading.Event()
        clients: list[Client] = []

        def wanted() -> bool:
            return not struck.is_set() or sum(len(c.accepted) for c in clients) < count * PREDICTIONS_A_FAULT

        tokens = list(TOKENS)
        clients += [Client(k, api, tokens[k % len(tokens)], receiver, reader, wanted) for k in range(CLIENTS)]
        watches = [Watch(0.2, memory.look), Watch(0.3, partial(list_page, api, reader))]
        faults = faults_of(chance, api, cogs, receiver, clients[0], postgres, data if on_small_disk else None)
        for client in clients:
            client.start()
        done = strike(chance, faults, count)
        struck.set()
        for client in clients:
            client.join()
        states = wait_until_all_ended(api, reader)
        for watch in watches:
            watch.stop()
        return judge(done, clients, states, reader, runs_of(folder / "ledger"), stalls_of(stalls), memory.most, api)


def faults_of(
    chance: random.Random,
    api: Api,
    cogs: list[Cog],
    receiver: Receiver,
    client: Client,
    postgres: Postgres | None,
    disk: Path | None,
) -> dict[str, Callable[[], object]]:
    faults: dict[str, Callable[[], object]] = {
        "cog killed": lambda: chance.choice(cogs).kill(),
        "cog stopped": lambda: chance.choice(cogs).pause(chance.uniform(0.1, 2)),
        "api killed": lambda: restart(api),
        "receiver hangs": lambda: receiver.hang(chance.uniform(0.1, 2)),
        "caller gone": lambda: leave(api),
        "hostile body": lambda: send_hostile(api, chance.choice(HOSTILE)),
        "idle sockets": lambda: sit_idle(api, 1100, chance.uniform(0, 2)),
        "large input": lambda: client.send_large(chance.randint(10, 60)),
    }
    if postgres:
        faults["database restarted"] = postgres.restart
    else:
        faults["database locked"] = lambda: lock_database(api, chance.uniform(0.1, 3))
    if disk:
        faults["disk full"] = lambda: fill_disk(disk, chance.uniform(0.1, 2))
    return faults


def strike(chance: random.Random, faults: dict[str, Callable[[], object]], count: int) -> Counter[str]:
    done: Counter[str] = Counter()
    for _ in tqdm(range(count), desc="faults", leave=False):
        name = chance.choice(list(faults))
        try:
            faults[name]()
            done[name] += 1
        except (OSError, ValueError, sqlite3.Error) as error:  # another fault was in its way
            done[f"{name}: not done ({type(error).__name__})"] += 1
        time.sleep(chance.uniform(0, 0.5))
    return done


def lock_database(api: Api, seconds: float) -> None:
    with sqlite3.connect(api.folder / "easel.db", timeout=10) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        other.rollback()
    other.close()


def wait_until_all_ended(api: Api, reader: Reader, timeout: float = 300) -> dict[str, dict[str, Any]]:
    """Every prediction of every account, asked page by page, when none runs any more or the time is over."""
    until = time.monotonic() + timeout
    while True:
        states: dict[str, dict[str, Any]] = {}
        since = time.monotonic()
        for token in TOKENS:
            path: str | None = "/v1/predictions"
            while path:
                status, page = ask(api, "GET", path, Authorization=f"Bearer {token}")
                if status != 200:
                    break
                states |= {one["id"]: one for one in page["results"]}
                path = page["next"] and page["next"].removeprefix(api.url)
        for one in states.values():
            reader.see(one, "list at the end", since)
        if ENDS.issuperset(one["status"] for one in states.values()) or time.monotonic() > until:
            return states
        time.sleep(1)


def judge(
    done: Counter[str],
    clients: list[Client],
    states: dict[str, dict[str, Any]],
    reader: Reader,
    runs: Counter[str],
    stalls: list[float],
    memory: float,
    api: Api,
) -> Verdict:
    accepted = {identity: token for client in clients for identity, token in client.accepted.items()}
    lost = [identity for identity in accepted if states.get(identity, {}).get("status") not in ENDS]
    unsaid = [one["id"] for one in states.values() if one["status"] == "failed" and not explained(api, one, accepted)]
    twice = [identity for identity, count in runs.items() if count > 1]
    ended = Counter(one["status"] for one in states.values())
    print({"faults": dict(done), "ended": dict(ended), "refused": dict(sum((c.refused for c in clients), Counter()))})
    verdict = Verdict(
        {
            "count": float(sum(done.values())),
            "accepted": float(len(states)),
            **{f"ended_{status}": float(ended[status]) for status in sorted(ENDS)},
            "lost": float(len(lost)),
            "changed": float(len(reader.changed)),
            "run_twice": float(len(twice)),
            "failed_without_words": float(len(unsaid)),
            "longest_stall_s": max(stalls, default=0.0),
            "stalls": float(len(stalls)),
            "memory_mb": memory,
        }
    )
    verdict.want(not lost, f"{len(lost)} accepted predictions have no end: {lost[:5]}")
    verdict.want(not reader.changed, f"{len(reader.changed)} ends were changed: {reader.changed[:5]}")
    verdict.want(not twice, f"{len(twice)} were run twice: {twice[:5]}")
    verdict.want(not unsaid, f"{len(unsaid)} failed without a word: {unsaid[:5]}")
    verdict.want(max(stalls, default=0) <= MAX_STALL_S, f"the event loop stood {max(stalls, default=0):.2f} s")
    verdict.want(memory <= MAX_MEMORY_MB, f"it took {memory:.0f} MB")
    return verdict


def explained(api: Api, one: dict[str, Any], accepted: dict[str, str]) -> bool:
    token = accepted.get(one["id"], api.token)
    status, whole = ask(api, "GET", f"/v1/predictions/{one['id']}", Authorization=f"Bearer {token}")
    return status != 200 or bool(whole.get("error"))
