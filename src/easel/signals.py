"""How a command ends: a signal leaves through every `finally`, an error of the caller by its sentence and exit code."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from easel.errors import EaselError, InputError
from easel.logs import log

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def catch_signals(interrupt: Callable[[int], NoReturn]) -> None:
    """Have the first signal, and no further one, call `interrupt`.

    What each `finally` does ends within seconds; a second signal would break it off half-way.
    """

    def once(signum: int, frame: object) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, lambda signum, frame: None)
        interrupt(signum)

    for signum in SIGNALS:  # Ctrl-C too, since a shell starts its background jobs with that one ignored
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # `nohup` wants to be left alone
            signal.signal(signum, once)


def leave(signum: int) -> NoReturn:
    raise SystemExit(128 + signum)


def run_resumable(work: Callable[[], str], output: str | Path) -> int:
    """Do work that goes on where it was stopped, print what it returns, and return the exit code of `easel`."""
    catch_signals(leave)
    try:
        results = work()
    except EaselError as error:
        log(str(error))
        return 2 if isinstance(error, InputError) else 1
    except SystemExit:
        log(f"Interrupted. What is done is kept in {output}: run the same command again to go on.")
        raise
    sys.stdout.write(results)
    return 0
