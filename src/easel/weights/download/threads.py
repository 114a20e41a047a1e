"""The threads of one download, and what they tell the caller's thread."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
        threads = [
            threading.Thread(target=self._work, args=(task,), name="easel-download", daemon=True) for task in tasks
        ]
        try:
            for thread in threads:
                thread.start()
            self._wait_for(len(threads))
        except BaseException:
            self.stop()
            until = time.monotonic() + JOIN_S
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, until - time.monotonic()))
            raise
        for thread in threads:
            thread.join()

    def _wait_for(self, count: int) -> None:
        while count:
            try:
                error = self._ended.get(timeout=SLICE_S)
            except queue.Empty:
                pass
            else:
                count -= 1
                if error is not None:
                    raise error
            self._tick()

    def _work(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Stopped:
            self._ended.put(None)
        except BaseException as error:
            self._ended.put(error)
        else:
            self._ended.put(None)

    def stop(self) -> None:
        """Tell all threads that they are not needed any more. This group runs nothing after that."""
        with self._lock:
            self._stop.set()

    def check(self) -> None:
        """Raise Stopped once the threads are to stop."""
        if self._stop.is_set():
            raise Stopped

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let one thread at a time in, and none once the threads are to stop: that one gets Stopped."""
        with self._lock:
            self.check()
            yield

    def sleep(self, seconds: float) -> None:
        """Wait that long, or raise Stopped as soon as the threads are to stop."""
        if self._stop.wait(seconds):
            raise Stopped

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
        self._arrived = 0
        self._reported = 0

    @property
    def arrived(self) -> int:
        """Return the bytes that have arrived and count."""
        return self._arrived

    def add(self, count: int) -> None:
        """Count so many bytes more, or fewer if it is negative."""
        with self._lock:
            self._arrived += count

    def log(self, line: str) -> None:
        """Keep a line for the log."""
        self._lines.put(line)

    def flush(self) -> None:
        """Pass on what is new."""
        while not self._lines.empty():
            self._log(self._lines.get())
        count = self._arrived - self._reported
        if count:
            self._reported += count
            self._progress(count)

    def reset(self) -> None:
        """Count nothing that has arrived any more."""
        self.add(-self._arrived)
        self.flush()
