"""How the bytes of a file come: first what a server says of it, then its ranges side by side, or one plain stream."""

import errno
import hashlib
import os
import threading
from io import FileIO

from easel.errors import FetchError
from easel.files import disk_errors
from easel.weights.download.answers import Found, NoRanges, check_range, found_by, length_of
from easel.weights.download.crew import SLICE_S, Crew
from easel.weights.download.http import Passing
from easel.weights.download.journal import Journal
from easel.weights.download.line import Line, Order
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


def write_all(order: Order, file: FileIO, view: memoryview, start: int) -> None:
    with disk_errors(order.part):
        while view:
            count = os.pwrite(file.fileno(), view, start)
            view, start = view[count:], start + count


def probe(order: Order, crew: Crew) -> Found:
    """What the answer to a request for the first byte says of the file."""
    found: list[Found] = []

    def task() -> None:
        with Line(order, crew) as line:
            while not found:
                try:
                    found.append(found_by(line.get({"Range": "bytes=0-0"})))
                except Passing as error:
                    line.wait(error)

    crew.run(task)
    order.check_size(found[0].size)
    return found[0]


def stream_whole(order: Order, crew: Crew, file: FileIO) -> tuple[int, Digests]:
    """The whole file in one stream into `file`, from the beginning in each attempt; its size in bytes."""
    results: list[tuple[int, Digests]] = []

    def task() -> None:
        with Line(order, crew) as line:
            while not results:
                try:
                    results.append(stream_once(order, line, file))
                except Passing as error:
                    line.wait(error)

    crew.run(task)
    return results[0]


def stream_once(order: Order, line: Line, file: FileIO) -> tuple[int, Digests]:
    digests, size = Digests(order.digest), 0
    buffer = memoryview(bytearray(READ_BYTES))
    try:
        answer = line.get({})
        if answer.status != 200:
            raise FetchError(f"{order.label}: The server answers with status {answer.status} instead of the file.")
        promised = length_of(answer)
        order.check_size(promised)
        while count := line.read(answer, buffer):
            write_all(order, file, buffer[:count], size)
            digests.update(buffer[:count])
            size += count
            if order.size is not None and size > order.size:
                order.check_size(size)
        if size < max(promised or 0, order.size or 0):
            raise Passing("breaks off in the middle")
    except Passing:
        order.report.add(-size)
        raise
    return size, digests


class Ranges:
    """The chunks of a file over several connections, into `file`; those of `on_disk` are there already."""

    def __init__(
        self, order: Order, crew: Crew, file: FileIO, found: Found, journal: Journal, on_disk: frozenset[int]
    ) -> None:
        self._order = order
        self._crew = crew
        self._file = file
        self._found = found
        self._journal = journal
        self._window = Window(crew, found.size, order.limits.chunk_bytes, on_disk, order.connections)
        self._digests = Digests(order.digest)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._working = min(order.connections, self._window.missing)
        order.report.add(self._window.bytes_on_disk)

    def run(self) -> Digests:
        self._crew.run(*[self._fetch] * self._working, self._digest, self._write_back)
        return self._digests

    def _fetch(self) -> None:
        arrived = 0  # by all connections, when this one last was in order
        with Line(self._order, self._crew) as line:
            while (chunk := self._window.claim()) is not None:
                try:
                    self._fill(line, chunk)
                except Passing as error:
                    self._window.give_back(chunk)
                    if line.failures == 0:
                        arrived = self._order.report.arrived
                    if line.has_failed_enough and self._can_spare_one(arrived):
                        return
                    line.wait(error)
                else:
                    with self._writing:  # The kernel lets one thread write to a file, and the others would spin.
                        write_all(self._order, self._file, chunk.view(), chunk.start)
                    self._journal.record(chunk.number)
                    self._window.finish(chunk)

    def _fill(self, line: Line, chunk: Chunk) -> None:
        first, last = chunk.start + chunk.filled, chunk.start + chunk.length - 1
        answer = line.get({"Range": f"bytes={first}-{last}", **self._found.condition})
        check_range(answer, first, last, self._found)
        view = chunk.view()
        while chunk.filled < chunk.length:
            count = line.read(answer, view[chunk.filled : chunk.filled + READ_BYTES])
            if not count:
                raise Passing("breaks off in the middle")
            chunk.filled += count
        if line.end(answer):
            raise NoRanges("sends more than was asked for")

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
        self._crew.dismiss()  # also whoever waits before another attempt that nobody needs

    def _write_back(self) -> None:
        """Have the disk work while bytes arrive, so that little is left for the sync at the end."""
        sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the other one
        while True:
            self._crew.sleep(SLICE_S)
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
