"""What watches the API while it is struck: nobody may be told one end and then another, or wait for the event loop."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.api_process import Api

ENDS = frozenset({"succeeded", "failed", "canceled", "aborted"})
MB = 1e6


class Reader:
    """Remembers every final state that any answer or webhook has shown, and each that was another one later."""

    def __init__(self) -> None:
        self.ends: dict[str, tuple[str, float]] = {}  # the end, and when it was shown first
        self.changed: list[str] = []
        self._lock = threading.Lock()

    def see(self, prediction: Any, where: str, since: float) -> None:
        """`since` is when the answer was asked for: what was shown before that must still be true in it."""
        if not isinstance(prediction, dict) or "id" not in prediction:
            return
        identity, status = prediction["id"], prediction.get("status")
        with self._lock:
            known = self.ends.get(identity)
            if known and status != known[0] and (status in ENDS or known[1] < since):
                self.changed.append(f"{identity}: {known[0]}, then {status} ({where})")
            elif status in ENDS and not known:
                self.ends[identity] = status, time.monotonic()


class Watch(threading.Thread):
    """Runs `look` every `seconds` until it is stopped; a failure of one look is none of the API."""

    def __init__(self, seconds: float, look: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._seconds, self._look, self._stopped = seconds, look, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(self._seconds):
            with suppress(OSError, ValueError, http.client.HTTPException, psutil.Error, KeyError, TypeError):
                self._look()

    def stop(self) -> None:
        self._stopped.set()
        self.join(30)


class Memory:
    """The most that any of the API's processes has taken, in MB."""

    def __init__(self, api: Api) -> None:
        self.api, self.most = api, 0.0

    def look(self) -> None:
        assert self.api.process
        self.most = max(self.most, psutil.Process(self.api.process.pid).memory_info().rss / MB)


def list_page(api: Api, reader: Reader) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    since = time.monotonic()
    with suppress(OSError):
        connection.request("GET", "/v1/predictions", headers={"Authorization": f"Bearer {api.token}"})
        for one in json.loads(connection.getresponse().read())["results"]:
            reader.see(one, "list", since)
    connection.close()


def runs_of(ledger: Path) -> Counter[str]:
    """How often each prediction was begun at a Cog server."""
    return Counter(ledger.read_text().split()) if ledger.exists() else Counter()


def stalls_of(path: Path) -> list[float]:
    """Seconds for which the event loop stood, each over the limit, as heartbeat.py has written them."""
    return [float(line) for line in path.read_text().splitlines()] if path.exists() else []
