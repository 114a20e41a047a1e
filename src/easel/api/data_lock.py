"""The lock on the data folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from easel.errors import InputError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Raises InputError if another process works with this folder: it would take this one's predictions for lost."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another `easel api` works with {folder}. Stop it, or choose another --data.") from None
        yield
