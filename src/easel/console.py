"""What the command writes: results to standard output, everything meant for reading to standard error."""

import sys
import time

PIPED_BAR_S = 2.0


class LogView:
    """Shows a log with progress bars that redraw themselves by carriage returns.

    A terminal does that by itself. Elsewhere (a pipe, a CI log) each line is shown once, as it ended; a bar that is
    still growing is shown as it stands, at most every 2 s.
    """

    def __init__(self) -> None:
        self._line = ""
        self._bar_shown = -PIPED_BAR_S

    def write(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(text)
            sys.stderr.flush()
            self._line = text.rpartition("\n")[2]
            return
        *finished, self._line = (self._line + text).split("\n")
        for line in finished:
            self._show(line)
        if "\r" in self._line and time.monotonic() - self._bar_shown > PIPED_BAR_S:
            self._bar_shown = time.monotonic()
            self._show(self._line)

    def close(self) -> None:
        """End a line that the log left open."""
        if self._line:
            say("" if sys.stderr.isatty() else self._line.rpartition("\r")[2])

    def _show(self, line: str) -> None:
        if state := line.rpartition("\r")[2].strip():
            say(state)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_result(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
