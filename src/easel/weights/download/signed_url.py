"""What the threads of one download share: where the file can be had, and what has arrived."""

import queue
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from easel.errors import FetchError
from easel.weights.download.connection import Address, Limits
from easel.weights.download.responses import Refused
from easel.weights.download.threads import SLICE_S, ThreadGroup


class SignedUrl:
    """Where the file can be had.

    `resolve` is called in the caller's thread only: at the start and by `refresh_if_requested`.
    """

    def __init__(self, resolve: Callable[[], Address], label: str, limits: Limits) -> None:
        self._resolve = resolve
        self._label = label
        self._limits = limits
        self._change = threading.Condition()
        self._address = resolve()
        self._generation = 0
        self._refusal: Refused | None = None
        self._renewals = 0  # since the last bytes

    @property
    def host(self) -> str:
        return urlsplit(self._address.url).hostname or "the host"

    def current(self) -> tuple[int, Address]:
        with self._change:
            return self._generation, self._address

    def set_resolved(self, generation: int, address: Address) -> None:
        """What all redirects led to is asked directly from now on, unless a newer address has come."""
        with self._change:
            if generation == self._generation:
                self._address = address

    def wait_for_refresh(self, generation: int, refusal: Refused, threads: ThreadGroup) -> None:
        """Returns when there is another address than that of `generation`."""
        with self._change:
            while generation == self._generation:
                self._refusal = refusal
                threads.check()
                self._change.wait(SLICE_S)

    def reset_failures(self) -> None:
        """The address has led to bytes."""
        self._renewals = 0

    def refresh_if_requested(self) -> None:
        if self._refusal is None:
            return
        if self._renewals == self._limits.renewals:
            raise FetchError(
                f"{self._label}: {self.host} {self._refusal}. If the file is private or gated, give a token that may "
                "read it in HF_TOKEN; if its address is signed, get a new one."
            )
        address = self._resolve()
        with self._change:
            self._renewals += 1
            self._generation += 1
            self._address, self._refusal = address, None
            self._change.notify_all()


class Report:
    """What threads say, passed on in the caller's thread."""

    def __init__(self, progress: Callable[[int], None], log: Callable[[str], None]) -> None:
        self._progress = progress
        self._log = log
        self._lock = threading.Lock()
        self._arrived = 0
        self._told = 0
        self._notes: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def arrived(self) -> int:
        return self._arrived

    def add(self, count: int) -> None:
        """`count` bytes more have arrived; fewer than none: so many count no longer."""
        with self._lock:
            self._arrived += count

    def note(self, text: str) -> None:
        self._notes.put(text)

    def tell(self) -> None:
        while not self._notes.empty():
            self._log(self._notes.get())
        count = self._arrived - self._told
        if count:
            self._told += count
            self._progress(count)

    def discard(self) -> None:
        """Nothing that has arrived counts any more."""
        self.add(-self._arrived)
        self.tell()
