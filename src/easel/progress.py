"""Progress bars that a terminal shows live and that logs can hold: one of tqdm, and a writer of whole lines."""

import io
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm


class LineWriter(io.TextIOBase):
    """Gives every state of a progress bar a line of its own.

    Replicate's clients look for the newest bar at the beginning of a line of the logs; carriage returns would hide all
    but the first state.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line:
            self.stream.write(line + "\n")
            self.stream.flush()
        return len(text)


class Bar(tqdm):  # type: ignore[type-arg] # generic in its stubs alone
    """Without tqdm's watching thread: starting one in a request that is being cancelled can hang it."""

    monitor_interval = 0


class ByteBar(Bar):
    """Counts bytes, with rate and remaining time: live on a terminal, elsewhere in whole lines, but not too many."""

    delay_s = 1.0  # what is over sooner needs no bar
    line_s = 2.0  # from one line to the next at least

    def __init__(self, total: int, stream: TextIO) -> None:
        live = stream.isatty()
        super().__init__(
            total=total,
            unit="B",
            unit_scale=True,
            file=stream if live else LineWriter(stream),
            delay=self.delay_s,
            mininterval=0.1 if live else self.line_s,
            miniters=1,  # else it waits for as many bytes as came last, which takes long where a network follows a disk
            dynamic_ncols=live,
            ncols=None if live else 80,
            ascii=False,
        )
        self._live = live

    def advance(self, count: int) -> None:
        """`count` bytes more are done; fewer than none: so many count no longer."""
        self.update(count)

    def advance_unforeseen(self, count: int) -> None:
        """Do as `advance`, for bytes that nobody knew to be part of the total."""
        self.total = (self.total or 0) + count
        self.update(count)

    def log_above(self, log: Callable[[str], None], text: str) -> None:
        """A line of the log, which a live bar makes way for."""
        if self._live:
            self.clear()
        log(text)
        if self._live:
            self.refresh()
