"""Threads that end together: when all are done, when one fails, or when the caller is interrupted."""

import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

SLICE_S = 0.1  # the longest that anything waits before it sees that all is to end
JOIN_S = 1.0


class Stopped(Exception):
    """This thread is no longer needed."""


class ThreadGroup:
    """`tick` is called in the caller's thread, at least every tenth of a second, so that the caller needs no lock."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._stop = threading.Event()
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._quiet_until = 0.0  # time.monotonic()

    def run(self, *tasks: Callable[[], None]) -> None:
        """Run each task in a thread of its own, to the end of all. Raises what the first one raises that fails.

        However it ends, its threads have ended too, but for one that the system holds in a name look-up: that one does
        nothing more when it returns. A group that failed runs nothing more.
        """
        threads = [
            threading.Thread(target=self._work, args=(task,), name="easel-download", daemon=True) for task in tasks
        ]
        try:
            for thread in threads:
                thread.start()
            waiting = len(threads)
            while waiting:
                try:
                    error = self._ended.get(timeout=SLICE_S)
                except queue.Empty:
                    pass
                else:
                    waiting -= 1
                    if error is not None:
                        raise error
                self._tick()
        except BaseException:
            self._end(threads)
            raise
        for thread in threads:
            thread.join()

    def _work(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Stopped:
            self._ended.put(None)
        except BaseException as error:
            self._ended.put(error)
        else:
            self._ended.put(None)

    def _end(self, threads: list[threading.Thread]) -> None:
        self._stop.set()
        with self._lock:
            for one in self._sockets:
                shut(one)
        until = time.monotonic() + JOIN_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        """End the threads that still wait for something: the work is done. This group runs nothing after that."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def check(self) -> None:
        """Raises Stopped when all is to end."""
        if self._stop.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def pause(self, seconds: float) -> None:
        """No thread sends a request before that time is over."""
        with self._lock:
            self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def wait_while_paused(self) -> None:
        while (left := self._quiet_until - time.monotonic()) > 0:
            self.sleep(left)

    def register_socket(self, sock: socket.socket) -> socket.socket:
        """Shut this socket down when all is to end, whatever waits on it. Returns what `release_socket` takes."""
        # A second handle, since TLS detaches the first one while the handshake still waits on it.
        twin = sock.dup()
        with self._lock:
            self._sockets.add(twin)
            if self._stop.is_set():
                shut(twin)
        return twin

    def release_socket(self, twin: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(twin)
        twin.close()


def shut(sock: socket.socket) -> None:
    with suppress(OSError):  # It may not be connected any more.
        sock.shutdown(socket.SHUT_RDWR)
