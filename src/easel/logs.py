"""Lines for the logs of a setup or a prediction, which Cog takes from standard error."""

import sys


def log(*lines: str) -> None:
    sys.stderr.write("".join(line + "\n" for line in lines))
    sys.stderr.flush()
