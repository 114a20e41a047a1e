"""Read a model's files while Python is still importing torch: they are in memory when the loader asks for them.

What is read is what the disk has to give anyway; a file that nobody has verified yet is verified on the way.
"""

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easel.weights.manifest import LockedFile, check_files, digest_problem, pieces, raise_problems
from easel.weights.records import Records
from easel.weights.snapshots import Snapshot

THREADS = 2  # One is bound by the digest, 1 to 2 GB/s; more take processor time from the imports.


@dataclass(frozen=True)
class Reading:
    """The files of `snapshot` on their way into the operating system's page cache."""

    snapshot: Snapshot
    began: float  # by time.perf_counter()
    _threads: Sequence[threading.Thread]
    _problems: "queue.SimpleQueue[str]"

    def wait(self) -> None:
        """Until all is read. Raises WeightsError for files that are not those of the lock, all in one message."""
        for thread in self._threads:
            thread.join()
        problems = [self._problems.get() for _ in range(self._problems.qsize())]
        raise_problems(sorted(problems), self.snapshot.manifest, self.snapshot.folder)


def start_reading(snapshot: Snapshot) -> Reading:
    """Begin, in threads that do not keep the process alive. Call it in setup only, never inside a request.

    Raises WeightsError at once for files that are missing, of another size, or too many.
    """
    began = time.perf_counter()
    check_files(snapshot.manifest, snapshot.folder)
    files: queue.SimpleQueue[LockedFile] = queue.SimpleQueue()
    problems: queue.SimpleQueue[str] = queue.SimpleQueue()
    for file in sorted(snapshot.manifest.files, key=lambda file: -(file.size or 0)):
        files.put(file)

    def read_files() -> None:
        while True:
            try:
                file = files.get_nowait()
            except queue.Empty:
                return
            try:
                problem = read_and_verify(file, snapshot.folder, snapshot.unverified)
            except OSError as error:
                problem = f"{file.path} cannot be read ({error.strerror})"
            if problem:
                problems.put(problem)

    threads = [threading.Thread(target=read_files, name=f"reading-{k}", daemon=True) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    return Reading(snapshot, began, threads, problems)


def read_and_verify(file: LockedFile, folder: Path, unverified: Records | None) -> str | None:
    """Read all of a file; what is wrong with it if it was not verified before, as it is now."""
    path = folder / file.path
    entry = unverified.entry(file, path) if unverified else None  # before it is read: a later change is another time
    if unverified and entry and not unverified.has(entry):
        problem = digest_problem(file, folder)
        if problem is None:
            unverified.add(entry)
        return problem
    for _ in pieces(path):
        pass
    return None
