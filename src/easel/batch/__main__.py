"""The process in which `easel batch` does its work. One argument, as job.py makes it; exit codes as of `easel`."""

import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from easel.batch.job import RESULTS, Job, read_job
from easel.batch.run import run_job
from easel.files import single_instance_lock
from easel.signals import run_resumable


def main() -> int:
    job = read_job(sys.argv[1])
    return run_resumable(lambda: run_alone(job), job.output)


def run_alone(job: Job) -> str:
    """Do the job and return where its results are, as a line. Raises EaselError."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # Ray reports there what died
        if job.place.is_local:
            folder = Path(job.place.path)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(
                single_instance_lock(folder / ".lock", f"Another process works on {job.output}. Wait for it.")
            )
        run_job(job)
    return f"{job.output.rstrip('/')}/{RESULTS}\n"


if __name__ == "__main__":
    sys.exit(main())
