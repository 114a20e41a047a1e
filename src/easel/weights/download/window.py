"""Which chunk is fetched next, and which ones wait in memory until the digest reaches them.

Chunks arrive in any order and the digest needs them in theirs. A chunk that is written stays in its buffer until it is
digested, as long as there are buffers to spare; then its connection waits for one, which the digest soon frees. But
where the digest is held up, by a slow connection or by what an earlier run left on disk and it still has to read, a
chunk gives its buffer up and is read back later, from what the system still has in memory.
"""

import threading
import time
from dataclasses import dataclass, field

from easel.weights.download.threads import SLICE_S, ThreadGroup

BUFFERS = 24  # of 8 MiB: with Python itself below 300 MB
HELD_UP_S = 1.0  # without a chunk that the digest needs; in that time a connection that is not slow fetches several


@dataclass
class Chunk:
    """`length` bytes of the file from `start`, of which `filled` have arrived in `buffer`."""

    number: int
    start: int
    length: int
    buffer: bytearray = field(repr=False)
    filled: int = 0

    def view(self) -> memoryview:
        return memoryview(self.buffer)[: self.length]


class Window:
    def __init__(
        self, threads: ThreadGroup, size: int, chunk_bytes: int, on_disk: frozenset[int], connections: int
    ) -> None:
        self._threads = threads
        self._size = size
        self._chunk_bytes = chunk_bytes
        self.count = -(-size // chunk_bytes)
        self._on_disk = {number for number in on_disk if number < self.count}
        self._missing = [number for number in range(self.count - 1, -1, -1) if number not in self._on_disk]
        self._given_back: list[Chunk] = []
        self._open = len(self._missing)  # chunks that are not finished
        self._kept: dict[int, Chunk] = {}
        self._kept_most = BUFFERS - connections
        self._free: list[bytearray] = []
        self._next = 0  # the chunk that the digest needs
        self._next_since = time.monotonic()
        self._change = threading.Condition()

    def length(self, number: int) -> int:
        return min(self._chunk_bytes, self._size - number * self._chunk_bytes)

    @property
    def missing(self) -> int:
        """The number of chunks that nobody fetches yet."""
        return len(self._missing)

    @property
    def bytes_on_disk(self) -> int:
        return sum(map(self.length, self._on_disk))

    def claim(self) -> Chunk | None:
        """The first chunk that nobody fetches, as soon as there is one; None when all are finished."""
        with self._change:
            while not (self._given_back or self._missing):
                if not self._open:
                    return None
                self._wait()
            if self._given_back:
                return self._given_back.pop()
            number = self._missing.pop()
            buffer = self._free.pop() if self._free else bytearray(min(self._chunk_bytes, self._size))
            return Chunk(number, number * self._chunk_bytes, self.length(number), buffer)

    def give_back(self, chunk: Chunk) -> None:
        """Another connection may go on with it, from the bytes that it has."""
        with self._change:
            self._given_back.append(chunk)
            self._change.notify_all()

    def finish(self, chunk: Chunk) -> None:
        """The chunk is on disk and recorded."""
        with self._change:
            self._open -= 1
            self._change.notify_all()  # The last one ends those that wait in `claim`.
            while not self._has_room(chunk) and not self._is_held_up():
                self._wait()
            if self._has_room(chunk):
                self._kept[chunk.number] = chunk
            else:
                self._on_disk.add(chunk.number)
                self._free.append(chunk.buffer)
            self._change.notify_all()

    def _has_room(self, chunk: Chunk) -> bool:
        return len(self._kept) < self._kept_most or chunk.number == self._next

    def _is_held_up(self) -> bool:
        is_late = self._next not in self._kept and time.monotonic() - self._next_since > HELD_UP_S
        return is_late or self._next in self._on_disk

    def next_for_digest(self) -> tuple[int, Chunk | None] | None:
        """The number of the next chunk in order, and the chunk if it is in memory; None after the last one."""
        with self._change:
            if self._next == self.count:
                return None
            while self._next not in self._kept and self._next not in self._on_disk:
                self._wait()
            return self._next, self._kept.get(self._next)

    def digested(self) -> None:
        with self._change:
            chunk = self._kept.pop(self._next, None)
            if chunk is not None:
                self._free.append(chunk.buffer)
            self._next += 1
            self._next_since = time.monotonic()
            self._change.notify_all()

    def _wait(self) -> None:
        self._threads.check()
        self._change.wait(SLICE_S)
