"""Name look-ups with a limit in time, which the system's own cannot have: they run in threads that others wait for.

These threads are started once and stay. Starting one for each look-up would lose cancels: CPython gives an exception
for a thread (PyThreadState_SetAsyncExc) to one that it is just starting, and then neither of the two goes on.
"""

import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

WORKERS = 4  # One that nobody waits for any more is busy until the system gives up, which takes some seconds.


class Resolver:
    """Run name look-ups in threads of its own."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(WORKERS):
            threading.Thread(target=self._work, name="easel-look-up", daemon=True).start()

    def _work(self) -> None:
        while True:
            look_up, answer = self._jobs.get()
            try:
                answer.put(look_up())
            except Exception as error:
                answer.put(error)

    def wait(self, look_up: Callable[[], Any], until: float, slice_s: float, clock: Callable[[], float]) -> Any:
        """Return what `look_up` returns, or the exception it raises. Raises TimeoutError after `until` on `clock`."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._jobs.put((look_up, answer))
        while True:
            left = until - clock()
            try:
                return answer.get(timeout=max(0.0, min(slice_s, left)))
            except queue.Empty:
                if left <= 0:
                    raise TimeoutError from None


def start_resolver() -> Resolver:
    """Return this process's resolver. Call it once where no cancel can strike: that starts the threads."""
    return _of_process(os.getpid())  # Threads do not outlive a fork.


@functools.cache
def _of_process(_pid: int) -> Resolver:
    return Resolver()
