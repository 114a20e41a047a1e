"""What every archive of a stranger is held to: bytes, names, numbers; and what kind of archive a file is.

Every byte that is unpacked counts against one budget as it appears, also those of members that nobody wants. A damaged
archive raises what the decoders raise (`DAMAGED`); one that is hostile or of an unsupported kind raises ArchiveError.
"""

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from easel.errors import ArchiveError

MAX_MEMBERS = 10_000
MAX_HEADERS = 3  # for each member of a tar: a long name, a long link, attributes
CHUNK = 1024 * 1024
DECODER_ERRORS = (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, tarfile.TarError, struct.error)
DAMAGED = (*DECODER_ERRORS, NotImplementedError, ValueError, OverflowError)  # the last three for values of no sense
DAMAGED_TEXT = "The archive is damaged or incomplete: make it again, and check that it unpacks."


@dataclass(frozen=True)
class Member:
    """A regular file in an archive. `read(n)` gives at most n bytes, b"" at its end."""

    name: str
    read: Callable[[int], bytes]


class Budget:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._left = max_bytes

    def spend(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"The archive unpacks to more than {self._max_bytes} bytes, the most that is accepted.")
        return data


class Names:
    """Checks the members' names as they come, and counts them."""

    def __init__(self) -> None:
        self._count = self._headers = 0
        self._files: set[str] = set()

    def count_header(self) -> None:
        self._headers += 1
        if self._headers > MAX_HEADERS * MAX_MEMBERS:
            raise ArchiveError("The archive has a member whose name or attributes are too long.")

    def check(self, name: str, is_folder: bool) -> str:
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise ArchiveError(f"The archive has more than {MAX_MEMBERS} members.")
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or name[1:2] == ":":
            raise ArchiveError(f"The archive has a member that leaves its folder ({shown_name(name)}).")
        if not is_folder:
            if str(path) in self._files:
                raise ArchiveError(f"The archive has two members of one name ({shown_name(str(path))}).")
            self._files.add(str(path))
        return str(path)


def shown_name(name: str) -> str:
    return ascii(name if len(name) <= 100 else name[:100] + "...")
