"""Who calls the API while it is struck: well-behaved clients of several accounts, and strangers."""

import base64
import http.client
import json
import os
import random
import socket
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from benches.api import Receiver
from benches.faults.observers import Reader

from tests.support.api_process import Api, ask

PATH = "/v1/models/easel/emoji/predictions"
# Most end well and soon; the rest is what Cog servers do to one.
WEIGHTS = {"well": 80, "fail": 6, "hang": 3, "deaf": 1, "lie": 5, "drip": 2, "drop": 3}
HOSTILE: tuple[bytes, ...] = (
    b'{"input": {"text": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
    b'{"input": {"lora_weights": [' + b"1," * 500_000 + b"1]}}",
    b'{"input": {"text": "' + b"\\ud800" * 1000 + b'"}}',
    b'{"input": {' + b",".join(b'"a%d": 1' % k for k in range(50_000)) + b"}}",
    b'{"input": {"seconds": 1e999}}',
    b"\0" * 100_000,
    b'{"input": ' * 200 + b"{}" + b"}" * 200,
)


class Client(threading.Thread):
    """Makes predictions as long as `wanted`; waits for some, cancels some, gives some a deadline."""

    def __init__(
        self, number: int, api: Api, token: str, receiver: Receiver, reader: Reader, wanted: Callable[[], bool]
    ) -> None:
        super().__init__(daemon=True)
        self.api, self.token, self.receiver, self.reader, self.wanted = api, token, receiver, reader, wanted
        self.accepted: dict[str, str] = {}  # by id: the token
        self.refused: Counter[int] = Counter()
        self.chance = random.Random(number)

    def run(self) -> None:
        while self.wanted():
            with suppress(OSError, ValueError, http.client.HTTPException):
                self.one()
            time.sleep(self.chance.uniform(0, 1))

    def one(self) -> None:
        behaviour = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        body: dict[str, Any] = {"input": {"behaviour": behaviour, "seconds": self.chance.uniform(0, 0.3)}}
        if self.chance.random() < 0.5:
            body |= {"webhook": self.receiver.url, "webhook_events_filter": ["completed"]}
        headers = {"Authorization": f"Bearer {self.token}"}
        if behaviour in ("hang", "deaf") or self.chance.random() < 0.05:
            headers["Cancel-After"] = "5s"
        if self.chance.random() < 0.3:
            headers["Prefer"] = f"wait={self.chance.randint(1, 5)}"
        self.send(body, headers)

    def send(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        status, answer = ask(self.api, "POST", PATH, body, **headers)
        if status not in (201, 202):
            self.refused[status] += 1
            return
        self.accepted[answer["id"]] = self.token  # A waited-for success reads `processing` here, as Replicate has it.
        path = f"/v1/predictions/{answer['id']}"
        if self.chance.random() < 0.1:
            time.sleep(self.chance.uniform(0, 0.3))
            self.look("POST", f"{path}/cancel", headers)
        if self.chance.random() < 0.5:
            self.look("GET", path, headers)

    def look(self, method: str, path: str, headers: dict[str, str]) -> None:
        since = time.monotonic()
        self.reader.see(ask(self.api, method, path, **headers)[1], method, since)

    def send_large(self, megabytes: int) -> None:
        """One input of so many megabytes, as a data URL."""
        url = "data:application/octet-stream;base64," + base64.b64encode(os.urandom(megabytes * 10**6)).decode()
        self.send({"input": {"file": url}}, {"Authorization": f"Bearer {self.token}"})


def leave(api: Api) -> None:
    """Send a whole request, and be gone before the answer."""
    body = json.dumps({"input": {"seconds": 0.1}}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {api.token}\r\nPrefer: wait\r\n"
    with suppress(OSError), socket.create_connection(("127.0.0.1", api.port), 5) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def send_hostile(api: Api, body: bytes) -> None:
    """An answer of 4xx is right, a dropped connection as well; what it costs others is seen by the observers."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    with suppress(OSError, http.client.HTTPException, urllib.error.URLError):
        connection.request("POST", PATH, body, headers)
        connection.getresponse().read()
    connection.close()


def sit_idle(api: Api, count: int, seconds: float) -> None:
    """So many connections that say nothing, or half a head."""
    idle = []
    for k in range(count):
        with suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", api.port), 2)
            connection.sendall(b"POST /v1/predictions HTTP/1.1\r\nHost:" if k % 2 else b"")
            idle.append(connection)
    time.sleep(seconds)
    for connection in idle:
        connection.close()
