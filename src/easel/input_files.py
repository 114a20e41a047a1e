"""What Cog does with a request's input files, in the request's own thread."""

import concurrent.futures
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any


class InputExecutor(ThreadPoolExecutor):
    """Calls `cog.types.URLPath.convert` at once instead of in a new thread; all else goes to threads as ever.

    coglet looks up `concurrent.futures.ThreadPoolExecutor` for each request that has an image or a mask, and has it
    download or decode them (coglet-python/src/input.rs). Two things go wrong there when the request is cancelled:

    - CPython 3.11 gives a new thread its parent's id until it runs. Cog's cancel, PyThreadState_SetAsyncExc, then
      strikes the child before it reports its start, and the parent waits in Thread.start() for ever: nobody else is
      served again. CPython 3.12 and later have the fault no more.
    - Nobody interrupts what runs in such a thread, on any Python: the cancel waits for the download.

    In the request's own thread no thread is started, and the cancel strikes at the next bytecode. What it costs: an
    image and its mask arrive one after the other.
    """

    watched: Callable[[], AbstractContextManager[None]]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if getattr(fn, "__module__", None) != "cog.types":
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        with self.watched():
            future.set_result(fn(*args, **kwargs))  # An error, or a cancel, is raised here: coglet passes both on.
        return future


def convert_in_place(watched: Callable[[], AbstractContextManager[None]]) -> None:
    """Let coglet find InputExecutor, in this process; `watched` is what each conversion runs in. Call it in setup."""
    InputExecutor.watched = staticmethod(watched)
    concurrent.futures.ThreadPoolExecutor = InputExecutor  # type: ignore[misc]
