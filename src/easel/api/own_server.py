"""The Cog server that `easel api` starts itself, and starts again when it is stuck."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from easel.local.client import ServerError
from easel.local.console import print_status
from easel.local.server import Server, stop


class OwnServer:
    """`start` makes a server at the same address as `server`, for as long as its context is open."""

    def __init__(self, server: Server, start: Callable[[], AbstractContextManager[Server]]) -> None:
        self.url = server.url
        self._process, self._start = server.process, start
        self._over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def restart(self) -> None:
        """End it, busy or not, and start it anew; return when it is ready, or could not be made so."""
        self.close()
        stop(self._process)
        over, ready = threading.Event(), threading.Event()

        def hold() -> None:  # A server ends with the thread that started it, so this one stays.
            try:
                with self._start() as server:
                    self._process = server.process
                    ready.set()
                    over.wait()
            except ServerError as error:  # The next look finds it gone, and tries again.
                print_status(str(error))
            finally:
                ready.set()  # Whatever has happened, nobody waits for it any more.

        self._over, self._thread = over, threading.Thread(target=hold, name="own-server", daemon=True)
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        if self._over and self._thread:
            self._over.set()
            self._thread.join()
