"""Progress bars that a terminal shows live and that logs can hold: one of tqdm, and a writer of whole lines."""

import io
from typing import TextIO

from tqdm import tqdm


class LineWriter(io.TextIOBase):
    """Gives every state of a progress bar a line of its own.

    Replicate's clients look for the newest bar at the beginning of a line of the logs; carriage returns would hide all
    but the first state.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line:
            self.stream.write(line + "\n")
            self.stream.flush()
        return len(text)


class Bar(tqdm):
    """Without tqdm's watching thread: starting one in a request that is being cancelled can hang it."""

    monitor_interval = 0
