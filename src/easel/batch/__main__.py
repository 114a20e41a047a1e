"""The process in which `easel batch` does its work. One argument, as job.py makes it; exit codes as of `easel`."""

import signal
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import NoReturn

from easel.batch.job import RESULTS, Job, read_job
from easel.batch.run import run_job
from easel.errors import EaselError, InputError
from easel.files import single_instance_lock
from easel.logs import log

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    for signum in SIGNALS:
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # `nohup` wants to be left alone
            signal.signal(signum, interrupt)
    job = read_job(sys.argv[1])
    try:
        with redirect_stdout(sys.stderr):  # Ray reports there what died
            run_alone(job)
    except EaselError as error:
        log(str(error))
        return 2 if isinstance(error, InputError) else 1
    except SystemExit:
        log(f"Interrupted. What is done is kept in {job.output}: run the same command again to go on.")
        raise
    sys.stdout.write(f"{job.output.rstrip('/')}/{RESULTS}\n")
    return 0


def run_alone(job: Job) -> None:
    with ExitStack() as stack:
        if job.place.is_local:
            folder = Path(job.place.path)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(
                single_instance_lock(folder / ".lock", f"Another process works on {job.output}. Wait for it.")
            )
        run_job(job)


def interrupt(signum: int, frame: object) -> NoReturn:
    """Leave through every `finally`, by the first signal alone."""
    for each in SIGNALS:
        signal.signal(each, lambda signum, frame: None)
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
