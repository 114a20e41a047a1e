"""What the threads of one download share: when to stop, where the file is, and what has arrived."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from easel.errors import FetchError
from easel.weights.download.responses import Refused

SLICE_S = 0.1  # the longest that anything but the network waits before it sees that all threads are to stop
JOIN_S = 0.5


class Stopped(Exception):
    """Raised in a thread that is no longer needed."""


class ThreadGroup:
    """Threads that stop together: when all are done, when one fails, or when the caller is interrupted.

    `tick` is called in the caller's thread, at least every tenth of a second, so that the caller needs no lock.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._stop = threading.Event()
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._paused_until = 0.0  # time.monotonic()

    def run(self, *tasks: Callable[[], None]) -> None:
        """Run each task in a thread of its own until all have returned. Raises what the first task raises that fails.

        A thread that waits for the network when another one fails does nothing more once that wait is over. It is a
        daemon, so that it keeps no process alive. A group that failed runs nothing more.
        """
        threads: list[threading.Thread] = []
        try:
            for task in tasks:
                thread = threading.Thread(target=self._work, args=(task,), name="easel-download", daemon=True)
                thread.start()
                threads.append(thread)
            for _ in threads:
                if error := self._wait_for_one():
                    raise error
        except BaseException:
            self.stop()
            raise
        finally:
            for thread in threads:
                thread.join(JOIN_S / len(threads))

    def _wait_for_one(self) -> BaseException | None:
        while True:
            self._tick()
            with suppress(queue.Empty):
                return self._ended.get(timeout=SLICE_S)

    def _work(self, task: Callable[[], None]) -> None:
        try:
            task()
            self._ended.put(None)
        except BaseException as error:
            self._ended.put(None if isinstance(error, Stopped) else error)

    def stop(self) -> None:
        """Tell all threads that they are not needed any more. This group runs nothing after that."""
        with self._lock:
            self._stop.set()

    def check(self) -> None:
        """Raise Stopped once the threads are to stop."""
        self.sleep(0)

    def sleep(self, seconds: float) -> None:
        """Wait that long, or raise Stopped as soon as the threads are to stop."""
        if self._stop.wait(seconds):
            raise Stopped

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let one thread at a time in, and none once the threads are to stop: that one gets Stopped."""
        with self._lock:
            self.check()
            yield

    def pause(self, seconds: float) -> None:
        """Let no thread send a request before that time is over."""
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def wait_while_paused(self) -> None:
        """Return when requests may be sent."""
        while (left := self._paused_until - time.monotonic()) > 0:
            self.sleep(left)


class ProgressReport:
    """Bytes and log lines that threads report, passed on by `flush` in the caller's thread."""

    def __init__(self, progress: Callable[[int], None], log: Callable[[str], None]) -> None:
        self._progress = progress
        self._log = log
        self._lock = threading.Lock()
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.log = self._lines.put  # keeps a line for the log
        self.arrived = 0  # bytes that count
        self._reported = 0

    def add(self, count: int) -> None:
        """Count so many bytes more, or fewer if it is negative."""
        with self._lock:
            self.arrived += count

    def flush(self) -> None:
        """Pass on what is new."""
        while not self._lines.empty():
            self._log(self._lines.get())
        count = self.arrived - self._reported
        if count:
            self._reported += count
            self._progress(count)


@dataclass(frozen=True)
class Address:
    """Where a file is just now. The URL may be signed, and the headers may hold a token: neither is ever shown."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Limits:
    """How patient a download is. Times in seconds."""

    connect_s: float = 10.0  # the TLS handshake included
    stall_s: float = 30.0  # without a byte
    retries: int = 6  # of one connection in a row, without a byte in between
    backoff_s: float = 0.5  # before the first of them, doubled before each one after it
    max_wait_s: float = 60.0  # however long a server asks to wait
    renewals: int = 2  # of a URL that is refused, without a byte in between
    # A killed process fetches at most this again for each connection, and each request costs a round trip.
    chunk_bytes: int = 8 * 2**20


class SignedUrl:
    """The file's address, which may have to be asked for again. `resolve` is called in the caller's thread only."""

    def __init__(self, resolve: Callable[[], Address], label: str, limits: Limits) -> None:
        self._resolve = resolve
        self._label = label
        self._limits = limits
        self._lock = threading.Lock()
        self.current = (0, resolve())  # the number of renewals, and the address
        self._refusal: Refused | None = None
        self._failures = 0  # renewals since the last bytes

    @property
    def host(self) -> str:
        """Return the host that messages name."""
        return urlsplit(self.current[1].url).hostname or "the host"

    def set_resolved(self, renewal: int, address: Address) -> None:
        """Use the end of all redirects from now on, unless the address has been renewed since."""
        with self._lock:
            if renewal == self.current[0]:
                self.current = (renewal, address)

    def wait_for_refresh(self, renewal: int, refusal: Refused, group: ThreadGroup) -> None:
        """Return when the address has been renewed since that renewal."""
        while True:
            with self._lock:
                if renewal != self.current[0]:
                    return
                self._refusal = refusal
            group.sleep(SLICE_S)

    def reset_failures(self) -> None:
        """Count renewals anew, since the address has led to bytes."""
        self._failures = 0

    def refresh_if_requested(self) -> None:
        """Resolve the address again if a thread waits for that. Raises FetchError after too many renewals."""
        if self._refusal is None:
            return
        if self._failures == self._limits.renewals:
            raise FetchError(
                f"{self._label}: {self.host} {self._refusal}. If the file is private or gated, give a token that may "
                "read it in HF_TOKEN; if its address is signed, get a new one."
            )
        address = self._resolve()
        with self._lock:
            self._failures += 1
            self.current, self._refusal = (self.current[0] + 1, address), None


@dataclass(frozen=True)
class Download:
    """What is fetched, the same in all attempts. `part` and `journal` are the unfinished file and what it holds."""

    target: Path
    label: str
    size: int | None  # bytes
    digest: str | None
    connections: int
    limits: Limits
    url: SignedUrl = field(repr=False)
    report: ProgressReport = field(repr=False)

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def journal(self) -> Path:
        return self.target.with_name(self.target.name + ".part.journal")

    def log(self, text: str) -> None:
        """Log a line that begins with the label."""
        self.report.log(f"{self.label}: {text}")

    def error(self, problem: object) -> FetchError:
        """Return an error whose message begins with the label."""
        return FetchError(f"{self.label}: {problem}")

    def other_file(self, found: str) -> FetchError:
        """Return the error for a server that has `found` instead of what the lock file names."""
        return self.error(
            f"{self.url.host} has {found}. It is another file than the lock file names: restore that, or use an "
            "address of the right one."
        )

    def check_size(self, size: int | None) -> None:
        """Raise FetchError if the server's file has another number of bytes than this one."""
        if size is not None and self.size is not None and size != self.size:
            raise self.other_file(f"{size} bytes instead of {self.size}")
