"""The process in which `easel train` does its work. One argument, as job.py makes it; exit codes as of `easel`."""

import os
import sys
from contextlib import ExitStack

from easel.inference.startup import collector_off
from easel.signals import run_resumable
from easel.training.job import Job, read_job


def main() -> int:
    job = read_job(sys.argv[1])
    return run_resumable(lambda: train(job), job.output)


def train(job: Job) -> str:
    """Do the job and return the paths of its files, as lines. Raises EaselError."""
    with collector_off():  # torch
        from easel.training.run import train_lora
    model = job.load_model()
    with ExitStack() as stack:
        result = train_lora(job.settings(model, stack), model, os.environ, job.output)
    return f"{result.weights}\n{result.lora}\n"


if __name__ == "__main__":
    sys.exit(main())
