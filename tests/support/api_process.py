"""A real `easel api` for tests, as a process of its own on a free port."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "token-of-the-tests"
ENDS_S = 20
TRIES = 50  # to have the port again: meanwhile another program's connection may have it, for a short time


@dataclass
class Api:
    """`url` is without /v1. `start` after `kill` gives the same address, with the same data."""

    folder: Path
    servers: Sequence[str]
    options: dict[str, Any]
    environment: dict[str, str]
    prefix: Sequence[str] = ()  # a program that starts it, with its arguments
    url: str = ""
    token: str = TOKEN
    process: subprocess.Popen | None = None
    port: int = 0
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "api.log"

    def start(self) -> None:
        command = [
            *self.prefix,
            sys.executable,
            "-m",
            "easel.cli",
            "api",
            "--port",
            str(self.port),
            "--data",
            str(self.folder),
        ]
        for server in self.servers:
            command += ["--server", server]
        for name, value in self.options.items():
            option = f"--{name.replace('_', '-')}"
            command += [option] if value is True else [option, str(value)]
        environment = {**os.environ, "EASEL_API_TOKENS": self.token, **self.environment}
        for _ in range(TRIES):
            with self.log.open("ab") as log:
                began = log.tell()
                self.process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True
                )
            self.url = self.process.stdout.readline().decode().strip()
            said = self.log.read_bytes()[began:].decode()
            if self.url or "Address already in use" not in said:  # its port, or with --tls the next one
                break
            self.process.wait(ENDS_S)
            self.process.stdout.close()
            time.sleep(0.2)
        assert self.url, self.log.read_text()
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(ENDS_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()


@contextmanager
def run_api(
    folder: Path,
    servers: Sequence[str],
    environment: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
    **options: Any,
) -> Iterator[Api]:
    """`servers` as --server takes them; `options` are further ones, as `retention=2` or `allow_private_webhooks=True`.

    Answers at once; when it is returned it knows a version of the declared servers if these are ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    api = Api(folder, servers, options, environment or {}, prefix)
    api.start()
    try:
        yield api
    finally:
        api.stop()


def wait_for_version(api: Api, model: str = "easel/emoji") -> dict[str, Any]:
    """The model's newest version, as soon as its server has told which that is."""
    for _ in range(400):
        status, answer = ask(api, "GET", f"/v1/models/{model}")
        if status == 200 and "latest_version" in answer:
            return answer["latest_version"]
        time.sleep(0.05)
    raise AssertionError(f"{model} has no version: {api.log.read_text()}")


def ask(api: Api, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One request with the token: the status and the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(api.url + path, data, sent, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=70) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
