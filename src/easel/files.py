"""Files that appear whole or not at all, and a sentence when the disk does not take them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from easel.errors import ResourceError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of the file system inside into a ResourceError that names `path`."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written ({error.strerror}): make room there, or have the cache in another folder."
        ) from None


def sync_file(stream: BinaryIO) -> None:
    """What was written so far survives a crash of the machine."""
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
