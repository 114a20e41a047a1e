"""What the tests of ranged downloads have in common: a file, a server of it, and a download that remembers."""

import hashlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from easel.errors import FetchError
from easel.weights.download.fetch import Address, Limits, Received, fetch_file
from tests.support.fault_server import Answer, part_of, wait_until

CHUNK = 65536
BODY = os.urandom(CHUNK * 16 + 1234)
SIZE = len(BODY)
DIGEST = "sha256:" + hashlib.sha256(BODY).hexdigest()
QUICK = Limits(connect_s=5, stall_s=2, backoff_s=0.01, max_wait_s=0.3, chunk_bytes=CHUNK)
FILE = Answer(body=BODY, headers={"ETag": '"one"'}, keep=True)


class Download:
    """Fetches /a of a FaultServer into `target`, and keeps what it was told."""

    def __init__(self, server, folder):
        self.server = server
        self.target = folder / "file"
        self.part = folder / "file.part"
        self.journal = folder / "file.part.journal"
        self.logs = []
        self.progress = []

    def __call__(self, path="/a", size=SIZE, digest=DIGEST, **options):
        options = {"limits": QUICK, "connections": 4, **options}
        options.setdefault("resolve", lambda: Address(self.server.url + path))
        return fetch_file(
            target=self.target,
            label="the file",
            size=size,
            digest=digest,
            **{"progress": self.progress.append, "log": self.logs.append, **options},
        )

    def gives_the_file(self, **options):
        assert self(**options) == Received(SIZE, DIGEST)
        assert self.target.read_bytes() == BODY
        assert sum(self.progress) == SIZE
        assert not self.part.exists()
        assert not self.journal.exists()

    def fails(self, sentence, kind=FetchError, **options):
        with pytest.raises(kind) as caught:
            self(**options)
        assert sentence in str(caught.value)
        assert str(caught.value).startswith("the file: ") or kind is not FetchError
        assert not self.target.exists()
        wait_until(lambda: not own_threads())


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("easel-download")]


def ranged(file=FILE, before=()):
    """A route of a proper server, but that `before` gives the first answers to requests for more than one byte."""
    faults = list(before)

    def answer(seen):
        if faults and seen.range not in (None, (0, 0)):
            return faults.pop(0)
        return part_of(file, seen)

    return answer


def chunks_asked(server):
    return [seen.range for seen in server.seen if seen.range not in (None, (0, 0))]


INTERRUPTED = """
import sys
from pathlib import Path
from easel.weights.download.fetch import Address, Limits, fetch_file

fetch_file(
    lambda: Address(sys.argv[1]),
    Path(sys.argv[2]),
    label="it",
    size=None,
    digest=None,
    progress=lambda count: None,
    log=print,
    limits=Limits(connect_s=3600, stall_s=3600, chunk_bytes=65536),
)
"""


def end_by_interrupt(url, target, is_stuck):
    """Press Ctrl-C in a process that fetches `url`, once it is stuck in the network for an hour. It must end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", INTERRUPTED, url, str(target)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            wait_until(lambda: is_stuck(process.pid), 60)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
