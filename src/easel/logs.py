"""Lines for the logs of a setup or a prediction, which Cog takes from standard error."""

import sys


def log(*lines: str) -> None:
    sys.stderr.write("".join(line + "\n" for line in lines))
    sys.stderr.flush()


def first_line(error: Exception) -> str:
    """Return the kind of an exception and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"
