"""How the bytes of a file come: first what a server says of it, then its ranges side by side, or one plain stream."""

import errno
import hashlib
import os
import threading
from io import FileIO

from easel.errors import FetchError
from easel.files import disk_errors
from easel.weights.download.connection import TransientError
from easel.weights.download.journal import Journal
from easel.weights.download.responses import RangesUnsupported, RemoteFile, check_range, length_of, parse_probe
from easel.weights.download.retries import Download, RetryingConnection
from easel.weights.download.threads import SLICE_S, ThreadGroup
from easel.weights.download.window import Chunk, Window

READ_BYTES = 2**20  # at once: often enough for a progress bar, seldom enough for Python


class Digests:
    """SHA-256 and, if the order names another algorithm, that one too."""

    def __init__(self, digest: str | None) -> None:
        names = {"sha256", (digest or "sha256").partition(":")[0]}
        self._running = {name: hashlib.new(name) for name in names}

    def update(self, view: memoryview) -> None:
        for running in self._running.values():
            running.update(view)

    def get(self, name: str = "sha256") -> str:
        return f"{name}:{self._running[name].hexdigest()}"


def write_all(order: Download, file: FileIO, view: memoryview, start: int) -> None:
    with disk_errors(order.part):
        while view:
            count = os.pwrite(file.fileno(), view, start)
            view, start = view[count:], start + count


def probe(order: Download, threads: ThreadGroup) -> RemoteFile:
    """What the answer to a request for the first byte says of the file."""
    found: list[RemoteFile] = []

    def task() -> None:
        with RetryingConnection(order, threads) as connection:
            while not found:
                try:
                    found.append(parse_probe(connection.get({"Range": "bytes=0-0"})))
                except TransientError as error:
                    connection.wait(error)

    threads.run(task)
    order.check_size(found[0].size)
    return found[0]


def stream_whole(order: Download, threads: ThreadGroup, file: FileIO) -> tuple[int, Digests]:
    """The whole file in one stream into `file`, from the beginning in each attempt; its size in bytes."""
    results: list[tuple[int, Digests]] = []

    def task() -> None:
        with RetryingConnection(order, threads) as connection:
            while not results:
                try:
                    results.append(stream_once(order, connection, file))
                except TransientError as error:
                    connection.wait(error)

    threads.run(task)
    return results[0]


def stream_once(order: Download, connection: RetryingConnection, file: FileIO) -> tuple[int, Digests]:
    digests, size = Digests(order.digest), 0
    buffer = memoryview(bytearray(READ_BYTES))
    try:
        answer = connection.get({})
        if answer.status != 200:
            raise FetchError(f"{order.label}: The server answers with status {answer.status} instead of the file.")
        promised = length_of(answer)
        order.check_size(promised)
        while count := connection.read(answer, buffer):
            write_all(order, file, buffer[:count], size)
            digests.update(buffer[:count])
            size += count
            if order.size is not None and size > order.size:
                order.check_size(size)
        if size < max(promised or 0, order.size or 0):
            raise TransientError("breaks off in the middle")
    except TransientError:
        order.report.add(-size)
        raise
    return size, digests


class Ranges:
    """The chunks of a file over several connections, into `file`; those of `on_disk` are there already."""

    def __init__(
        self,
        order: Download,
        threads: ThreadGroup,
        file: FileIO,
        found: RemoteFile,
        size: int,
        journal: Journal,
        on_disk: frozenset[int],
    ) -> None:
        self._order = order
        self._threads = threads
        self._file = file
        self._found = found
        self._journal = journal
        self._window = Window(threads, size, order.limits.chunk_bytes, on_disk, order.connections)
        self._digests = Digests(order.digest)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._working = min(order.connections, self._window.missing)
        order.report.add(self._window.bytes_on_disk)

    def run(self) -> Digests:
        self._threads.run(*[self._fetch] * self._working, self._digest, self._write_back)
        return self._digests

    def _fetch(self) -> None:
        arrived = 0  # by all connections, when this one last was in order
        with RetryingConnection(self._order, self._threads) as connection:
            while (chunk := self._window.claim()) is not None:
                try:
                    self._fill(connection, chunk)
                except TransientError as error:
                    self._window.give_back(chunk)
                    if connection.failures == 0:
                        arrived = self._order.report.arrived
                    if connection.has_failed_enough and self._can_spare_one(arrived):
                        return
                    connection.wait(error)
                else:
                    with self._writing:  # The kernel lets one thread write to a file, and the others would spin.
                        write_all(self._order, self._file, chunk.view(), chunk.start)
                    self._journal.record(chunk.number)
                    self._window.finish(chunk)

    def _fill(self, connection: RetryingConnection, chunk: Chunk) -> None:
        first, last = chunk.start + chunk.filled, chunk.start + chunk.length - 1
        answer = connection.get({"Range": f"bytes={first}-{last}", **self._found.condition})
        check_range(answer, first, last, self._found)
        view = chunk.view()
        while chunk.filled < chunk.length:
            count = connection.read(answer, view[chunk.filled : chunk.filled + READ_BYTES])
            if not count:
                raise TransientError("breaks off in the middle")
            chunk.filled += count
        if connection.end(answer):
            raise RangesUnsupported("sends more than was asked for")

    def _can_spare_one(self, arrived: int) -> bool:
        """Whether others fetch while this connection gets nothing, as with a server that allows fewer of them."""
        with self._lock:
            if self._working == 1 or self._order.report.arrived == arrived:
                return False
            self._working -= 1
            self._order.report.note(f"{self._order.label}: goes on with fewer connections: {self._working}")
            return True

    def _digest(self) -> None:
        own = memoryview(b"")
        while (following := self._window.next_for_digest()) is not None:
            number, chunk = following
            if chunk is None:
                own = own or memoryview(bytearray(self._window.length(0)))
                self._digests.update(self._read_back(number, own))
            else:
                self._digests.update(chunk.view())
            self._window.digested()
        self._threads.stop()  # also whoever waits before another attempt that nobody needs

    def _write_back(self) -> None:
        """Have the disk work while bytes arrive, so that little is left for the sync at the end."""
        sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the other one
        while True:
            self._threads.sleep(SLICE_S)
            with disk_errors(self._order.part):
                sync(self._file.fileno())

    def _read_back(self, number: int, buffer: memoryview) -> memoryview:
        view, done = buffer[: self._window.length(number)], 0
        with disk_errors(self._order.part):
            while done < len(view):
                count = os.preadv(self._file.fileno(), [view[done:]], number * self._order.limits.chunk_bytes + done)
                if count == 0:
                    raise OSError(errno.EIO, "it was cut off by another program")
                done += count
        return view
