"""What of an unfinished download is on disk: a journal beside it, so that a killed process costs what it had in hand.

One JSON line says which download it is; every line after it is the number of a chunk that was written in full. A chunk
counts once it is recorded, and it is recorded after it was written.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from easel.files import disk_errors

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Head:
    """Which download it is. `boot` is None where a digest verifies the file at its end: else what was written counts
    only as long as the machine runs, since a crash can lose bytes whose record it reset_failures.
    """

    size: int  # bytes
    etag: str | None
    digest: str | None
    chunk_bytes: int
    boot: str | None

    def continues(self, earlier: "Head") -> bool:
        """Whether the chunks of `earlier` belong to this download."""
        same_etag = None in (self.etag, earlier.etag) or self.etag == earlier.etag
        verifiable = self.digest is not None or (self.etag is not None and self.boot is not None)
        return verifiable and same_etag and {**asdict(self), "etag": None} == {**asdict(earlier), "etag": None}


def make_head(size: int, etag: str | None, digest: str | None, chunk_bytes: int) -> Head:
    boot = None if digest or not BOOT_ID.is_file() else BOOT_ID.read_text().strip()
    return Head(size, etag, digest, chunk_bytes, boot)


def read_journal(path: Path) -> tuple[Head, frozenset[int]] | None:
    """The head and the recorded chunks; None if there is no journal, or none that can be read."""
    try:
        first, *lines = path.read_bytes().split(b"\n")
        head = Head(**json.loads(first))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    # A line that a crash tore counts for nothing; the last one always is what follows the final newline.
    numbers = {int(line) for line in lines[:-1] if re.fullmatch(rb"[0-9]{1,9}", line)}
    return head, frozenset(numbers)


class Journal:
    """The journal of a download that is under way, for several threads."""

    def __init__(self, path: Path, head: Head, recorded: Iterable[int]) -> None:
        """Replaces the one at `path` by one of `head` and the chunks that count already. Raises ResourceError."""
        self.path = path
        text = json.dumps(asdict(head)) + "\n" + "".join(f"{number}\n" for number in sorted(recorded))
        with disk_errors(path):
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text(text, encoding="ascii")
            temporary.replace(path)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def record(self, number: int) -> None:
        with disk_errors(self.path):
            os.write(self._file, b"%d\n" % number)  # one call, so that two threads' lines never mix

    def close(self) -> None:
        os.close(self._file)
