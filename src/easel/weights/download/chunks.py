"""The chunks of a file: which are on disk, which is fetched next, and the threads that fetch and digest them.

Chunks arrive in any order and the digest needs them in theirs, so it reads them back, from the system's page cache.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path

from easel.errors import ResourceError
from easel.files import disk_errors
from easel.weights.download.connection import RetryingConnection
from easel.weights.download.responses import RangesUnsupported, RemoteFile, TransientError, check_range
from easel.weights.download.threads import SLICE_S, Download, ThreadGroup

READ_BYTES = 2**20  # at once: often enough for a progress bar, seldom enough for Python
MAX_LEAD = 64  # chunks that wait for the digest: 512 MB of 8 MiB ones, so that the page cache can hold them


@dataclass(frozen=True)
class Head:
    """Which download a journal is of.

    `boot` is None where a digest verifies the file at its end. Otherwise what was written counts only as long as the
    machine runs, since a crash can lose bytes whose record it keeps.
    """

    size: int  # bytes
    etag: str | None
    digest: str | None
    chunk_bytes: int
    boot: str | None

    def continues(self, earlier: "Head") -> bool:
        """Return whether the chunks of `earlier` belong to this download."""
        same_etag = None in (self.etag, earlier.etag) or self.etag == earlier.etag
        is_known = self.digest is not None or (self.etag is not None and self.boot is not None)
        return is_known and same_etag and {**asdict(self), "etag": None} == {**asdict(earlier), "etag": None}


def read_journal(path: Path) -> tuple[Head, frozenset[int]] | None:
    """Return the head and the recorded chunks, or None if there is no journal that can be read."""
    try:
        first, *lines = path.read_bytes().split(b"\n")
        head = Head(**json.loads(first))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    # A line that a crash tore counts for nothing; the last one always is what follows the final newline.
    return head, frozenset(int(line) for line in lines[:-1] if re.fullmatch(rb"[0-9]{1,9}", line))


class Journal:
    """What a killed process leaves to the next: its head as a JSON line, then the number of each written chunk."""

    def __init__(self, path: Path, head: Head, recorded: Iterable[int]) -> None:
        """Replace the journal at `path` by one of `head` and the chunks that count already. Raises ResourceError."""
        self.path = path
        text = json.dumps(asdict(head)) + "\n" + "".join(f"{number}\n" for number in sorted(recorded))
        with disk_errors(path):
            temporary = path.with_name(path.name + ".tmp")  # a name that `prune` knows
            temporary.write_text(text, encoding="ascii")
            temporary.replace(path)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def record(self, number: int) -> None:
        """Count a chunk, which must have been written."""
        with disk_errors(self.path):
            os.write(self._file, b"%d\n" % number)  # one call, so that two threads' lines never mix

    def close(self) -> None:
        os.close(self._file)


@dataclass
class Chunk:
    """`length` bytes of the file from `start`, of which `filled` are written."""

    number: int
    start: int
    length: int
    filled: int = 0


class ChunkQueue:
    """The chunks that are still to be fetched, for several threads; those of `on_disk` are there already."""

    def __init__(self, group: ThreadGroup, size: int, chunk_bytes: int, on_disk: frozenset[int]) -> None:
        starts = enumerate(range(0, size, chunk_bytes))
        self.chunks = [Chunk(number, start, min(chunk_bytes, size - start)) for number, start in starts]
        self._on_disk = on_disk
        self._waiting = [chunk for chunk in reversed(self.chunks) if chunk.number not in on_disk]
        self.missing = len(self._waiting)  # chunks that are not on disk
        self._fetched: set[int] = set()
        self._next = 0  # the chunk that the digest needs
        self._group = group
        self._change = threading.Condition()

    def claim(self) -> Chunk | None:
        """Return the first chunk that nobody fetches, as soon as there is one, or None when all are on disk."""
        with self._change:
            while self.missing and (not self._waiting or self._is_far_ahead()):
                self._wait()
            return self._waiting.pop() if self.missing else None

    def _is_far_ahead(self) -> bool:
        """Return whether the digest is at work on what was fetched, and far behind; not if it waits for a chunk."""
        return self._next in self._fetched and self._waiting[-1].number - self._next > MAX_LEAD

    def give_back(self, chunk: Chunk) -> None:
        """Let another connection go on with a chunk, from the bytes that it has."""
        with self._change:
            self._waiting.append(chunk)
            self._change.notify_all()

    def finish(self, chunk: Chunk) -> None:
        """Count a chunk as on disk."""
        with self._change:
            self._fetched.add(chunk.number)
            self.missing -= 1
            self._change.notify_all()

    def wait_for(self, chunk: Chunk) -> None:
        """Return when the chunk, which the digest needs next, is on disk."""
        self._group.check()
        with self._change:
            self._next = chunk.number
            self._change.notify_all()
            while chunk.number not in self._fetched and chunk.number not in self._on_disk:
                self._wait()

    def _wait(self) -> None:
        self._group.check()
        self._change.wait(SLICE_S)


class Digests:
    """The running SHA-256 and, if the lock file names another algorithm, that one too."""

    def __init__(self, digest: str | None) -> None:
        names = {"sha256", (digest or "sha256").partition(":")[0]}
        self._running = {name: hashlib.new(name) for name in names}

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes of the file."""
        for running in self._running.values():
            running.update(data)

    def get(self, name: str = "sha256") -> str:
        """Return "sha256:" and the digest in hex."""
        return f"{name}:{self._running[name].hexdigest()}"


def write_at(file: FileIO, data: bytes, start: int) -> None:
    """Write all of `data` at `start`. Raises OSError."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file.fileno(), view, start)
        view, start = view[count:], start + count


@dataclass
class ChunkDownload:
    """The download of the chunks in `queue` over several connections into `file`."""

    download: Download
    group: ThreadGroup
    file: FileIO
    remote: RemoteFile
    journal: Journal
    queue: ChunkQueue
    _working: int = field(init=False, default=0)  # connections

    def run(self) -> Digests:
        """Return the digests of the whole file when it is written."""
        digests = Digests(self.download.digest)
        self._working = min(self.download.connections, self.queue.missing)
        self.group.run(*[self._fetch] * self._working, partial(self._digest, digests), self._write_back)
        return digests

    def _fetch(self) -> None:
        arrived = 0  # by all connections, when this one last was in order
        with RetryingConnection(self.download, self.group) as connection:
            while (chunk := self.queue.claim()) is not None:
                try:
                    self._fill(connection, chunk)
                except TransientError as error:
                    self.queue.give_back(chunk)
                    if connection.failures == 0:
                        arrived = self.download.report.arrived
                    if connection.has_failed_enough and self._can_spare_one(arrived):
                        return
                    connection.wait(error)
                else:
                    with self.group.exclusive():
                        self.journal.record(chunk.number)
                    self.queue.finish(chunk)

    def _fill(self, connection: RetryingConnection, chunk: Chunk) -> None:
        first, last = chunk.start + chunk.filled, chunk.start + chunk.length - 1
        response = connection.get({"Range": f"bytes={first}-{last}", **self.remote.condition})
        check_range(response, first, last, self.remote)
        while chunk.filled < chunk.length:
            data = connection.read(response, min(READ_BYTES, chunk.length - chunk.filled))
            if not data:
                raise TransientError("breaks off in the middle")
            # One at a time: with several the kernel spins on the file's lock.
            with self.group.exclusive(), disk_errors(self.download.part):
                write_at(self.file, data, chunk.start + chunk.filled)
                chunk.filled += len(data)
                self.download.report.add(len(data))
        if connection.finish(response):
            raise RangesUnsupported("sends more than was asked for")

    def _can_spare_one(self, arrived: int) -> bool:
        """Return whether others fetch while this connection gets nothing, as where a server allows fewer of them."""
        with self.group.exclusive():
            if self._working == 1 or self.download.report.arrived == arrived:
                return False
            self._working -= 1
            self.download.log(f"goes on with fewer connections: {self._working}")
            return True

    def _digest(self, digests: Digests) -> None:
        buffer = memoryview(bytearray(READ_BYTES))
        for chunk in self.queue.chunks:
            position, end = chunk.start, chunk.start + chunk.length
            while position < end:
                self.queue.wait_for(chunk)
                with disk_errors(self.download.part):
                    count = os.preadv(self.file.fileno(), [buffer[: end - position]], position)
                if count == 0:
                    raise ResourceError(f"{self.download.part} was cut off by another program. Start again.")
                digests.update(buffer[:count])
                position += count
        self.group.stop()  # also whoever waits before another attempt that nobody needs

    def _write_back(self) -> None:
        """Have the disk work while bytes arrive, so that little is left for the sync at the end."""
        sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the other one
        while True:
            self.group.sleep(SLICE_S)
            with disk_errors(self.download.part):
                sync(self.file.fileno())
