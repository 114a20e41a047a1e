"""Runs rows in a child process, and goes on after a row that ends or hangs it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gpu_check.context import RESULTS
from gpu_check.rows import MISS, NOT_RUN, Outcome, Row

STARTING_S = 60.0  # for the process to start and to load the weights
GRACE_S = 15.0  # beyond the deadline, for a row that has begun
TINY_ROW_S = 240.0  # to compile takes longest; CI's machine is slow


@dataclass(frozen=True)
class Job:
    """`deadline` is in seconds since 1970; `show` is called with each outcome as it comes."""

    folder: Path
    device: str
    tiny: bool
    deadline: float
    show: Callable[[Outcome], None]

    def limit(self, row: Row) -> float:
        """Seconds after which a row counts as hung."""
        return TINY_ROW_S if self.tiny else STARTING_S + 4 * row.seconds


def run_rows(job: Job, rows: Sequence[Row], found: list[Outcome]) -> None:
    """Add an outcome of every row to `found`, from one process. A row that ends it is a miss, and a new one goes on."""
    left = list(rows)
    while left:
        if time.time() > job.deadline:
            for row in left:
                add(job, found, Outcome(row.name, NOT_RUN, "the time was over"))
            return
        reason = run_child(job, left, found)
        if left and reason:
            add(job, found, Outcome(left.pop(0).name, MISS, reason))


def add(job: Job, found: list[Outcome], outcome: Outcome) -> None:
    found.append(outcome)
    job.show(outcome)


def run_child(job: Job, left: list[Row], found: list[Outcome]) -> str:
    """One process for these rows; those that it reports leave the list. Why it ended before the last, else nothing."""
    (job.folder / RESULTS).write_text(json.dumps([outcome.to_json() for outcome in found]))
    log = job.folder / f"{left[0].group}.log"
    with log.open("ab") as errors, child_process(job, left, errors) as process:
        for line in lines_of(process, lambda: min(job.limit(left[0]), job.deadline + GRACE_S - time.time())):
            if line is None:
                return f"stopped: no result in time; see {log}"
            add(job, found, Outcome(**json.loads(line)))
            left.pop(0)
            if not left:
                return ""
        return f"its process ended with {ending(process.wait(10))}: {last_line(log)}"


@contextmanager
def child_process(job: Job, rows: Sequence[Row], errors: IO[bytes]) -> Iterator["subprocess.Popen[str]"]:
    from easel.local.server import end_with_parent  # It needs packages, which --help does without.

    command = [sys.executable, "-m", "gpu_check.child", "--folder", str(job.folder), "--device", job.device]
    command += ["--deadline", str(job.deadline), *(["--tiny"] if job.tiny else []), *(row.name for row in rows)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
        # A signal can strike before Popen has returned: then nobody here knows of the child.
        preexec_fn=end_with_parent if sys.platform == "linux" else None,
        # Groups side by side whose threads spin for one another take ten times as long.
        env=os.environ | ({"OMP_NUM_THREADS": "1"} if job.tiny else {}),
    )
    try:
        yield process
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)  # It stops its server.
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # Its server gets a SIGTERM then.
        process.wait()


def lines_of(process: "subprocess.Popen[str]", limit: Callable[[], float]) -> Iterator[str | None]:
    """The lines of its output as they come, and None once one takes longer than the limit of that moment."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=max(limit(), 0.1))
        except queue.Empty:
            yield None
            return
        if line is None:
            return
        yield line


def ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
