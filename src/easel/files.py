"""Files that appear whole or not at all, locks between processes, and a sentence when the disk does not take them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from filelock import FileLock, Timeout

from easel.errors import InputError, ResourceError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the file system inside into a ResourceError that names `path`."""
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the latter from a lock, where the file system has none
        reason = getattr(error, "strerror", None) or str(error)
        raise ResourceError(
            f"{path} cannot be written ({reason}): make room there, or have the cache in another folder."
        ) from None


def sync_file(stream: BinaryIO) -> None:
    """Have what was written so far survive a crash of the machine."""
    stream.flush()
    os.fsync(stream.fileno())


def rename_file(unfinished: Path, final: Path) -> None:
    """Give a finished file its final name, in the same file system; a file that has this name is replaced."""
    unfinished.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def write_atomically(path: Path, *, mode: int = 0o666, sync: bool = True) -> Iterator[BinaryIO]:
    """Give a stream whose bytes become the file `path` at the end; on an error nothing is changed. Raises OSError.

    `mode` is what the umask is applied to. Without `sync` a crash of the machine may leave an empty file.
    """
    unfinished = path.with_name(f".{uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            yield stream
            if sync:
                sync_file(stream)
        if sync:
            rename_file(unfinished, path)
        else:
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def single_instance_lock(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of the file `path`, which ends with this process. Raises InputError(busy) if another holds it.

    Raises ResourceError where no lock can be had, as in a folder that this user may not write.
    """
    with disk_errors(path):
        try:
            lock = FileLock(path).acquire(blocking=False)
        except Timeout:
            raise InputError(busy) from None
    with lock:
        yield
