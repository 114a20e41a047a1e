"""What the command writes: results to standard output, everything meant for reading to standard error."""

import re
import sys
import time

BAR = re.compile(r"\s*(\d+)%\s*\|")  # how a state of a tqdm bar begins
PIPED_BAR_S = 2.0


class LogView:
    """Shows a log with progress bars, each state of which ends in a line break or a carriage return.

    On a terminal a bar stays on one line. Elsewhere (a pipe, a CI log) it is shown at most every 2 s and when complete.
    """

    def __init__(self) -> None:
        self._line = ""
        self._bar_open = False
        self._bar_shown = -PIPED_BAR_S  # when, in seconds of the clock
        self._percent = ""

    def write(self, text: str) -> None:
        *finished, self._line = (self._line + text).replace("\r", "\n").split("\n")
        for line in finished:
            self._show(line)

    def close(self) -> None:
        """Show what the log left without an end."""
        self._show(self._line)
        if self._bar_open:
            print_status("")

    def _show(self, line: str) -> None:
        bar = BAR.match(line)
        if bar and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._bar_open = True
        elif bar:
            ended = bar[1] == "100" != self._percent
            if ended or (bar[1] != "100" and time.monotonic() - self._bar_shown > PIPED_BAR_S):
                self._bar_shown = time.monotonic()
                print_status(line.strip())
            self._percent = bar[1]
        elif line.strip():
            if self._bar_open:
                print_status("")
                self._bar_open = False
            print_status(line)


def print_status(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_result(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
