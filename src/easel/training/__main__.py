"""The process in which `easel train` does its work. One argument, as job.py makes it; exit codes as of `easel`."""

import os
import signal
import sys
from contextlib import ExitStack
from typing import NoReturn

from easel.errors import EaselError, InputError
from easel.logs import log
from easel.training.job import Job, read_job
from easel.training.run import train_lora

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for signum in SIGNALS:
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # `nohup` wants to be left alone
            signal.signal(signum, interrupt)
    job = read_job(sys.argv[1])
    try:
        return run(job)
    except EaselError as error:
        log(str(error))
        return 2 if isinstance(error, InputError) else 1
    except SystemExit:
        log(f"Interrupted. What is done is kept in {job.output}: run the same command again to go on.")
        raise


def run(job: Job) -> int:
    model = job.load_model()
    with ExitStack() as stack:
        result = train_lora(job.settings(model, stack), model, os.environ, job.output)
    sys.stdout.write(f"{result.weights}\n{result.lora}\n")
    return 0


def interrupt(signum: int, frame: object) -> NoReturn:
    """Leave through every `finally`, by the first signal alone."""
    for each in SIGNALS:
        signal.signal(each, lambda signum, frame: None)
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
