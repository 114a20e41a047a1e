"""A Cog server that `easel api` starts itself, and starts again when it is stuck or has died."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from easel.local.client import ServerError
from easel.local.console import print_status
from easel.local.server import Server, stop

if TYPE_CHECKING:
    import subprocess

LONGEST_PAUSE_S = 60.0  # between two starts that fail
LOOK_S = 0.2  # how often a start looks whether it is still wanted


class OwnServer:
    """`start` makes a server at `url`, for as long as its context is open; `process` is the one that runs already."""

    def __init__(
        self,
        url: str,
        start: Callable[[], AbstractContextManager[Server]],
        process: "subprocess.Popen[bytes] | None" = None,
    ) -> None:
        self.url = url
        self._process, self._start = process, start
        self._failures = 0
        self._closing = threading.Event()
        self._over, self._ready = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def has_ended(self) -> bool:
        """Whether no process of it runs: it was not started yet, or has died."""
        return self._process is None or self._process.poll() is not None

    def restart(self) -> None:
        """End it, busy or not, and start it anew; return when it is ready, could not be made so, or is closed.

        After a start that failed the next one waits: 2 s, then twice as long each time, up to LONGEST_PAUSE_S.
        """
        self._end()
        if self._process:
            stop(self._process)
        if self._failures and self._closing.wait(min(2.0**self._failures, LONGEST_PAUSE_S)):
            return
        self._over, self._ready = threading.Event(), threading.Event()
        over, ready = self._over, self._ready

        def hold() -> None:  # A server ends with the thread that started it, so this one stays.
            self._failures += 1
            try:
                with self._start() as server:
                    self._process, self._failures = server.process, 0
                    ready.set()
                    over.wait()
            except ServerError as error:  # The next look finds it gone, and tries again.
                print_status(str(error))
            finally:
                ready.set()  # Whatever has happened, nobody waits for it any more.

        if self._closing.is_set():
            return
        self._thread = threading.Thread(target=hold, name="own-server", daemon=True)
        self._thread.start()
        while not ready.wait(LOOK_S) and not self._closing.is_set():
            pass

    def stop(self) -> None:
        """End it until the next `restart`; one that is still starting is not waited for, as in `close`."""
        if self._ready.is_set():
            self._end()

    def close(self) -> None:
        """End what it has started, and any wait for it; it is not started again.

        One that is still starting is not waited for: it ends with this process.
        """
        self._closing.set()
        self.stop()

    def _end(self) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()
