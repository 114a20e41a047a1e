"""The members of a zip, without trusting what it says of itself."""

import functools
import stat
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from typing import IO, BinaryIO

from easel.archives.members import MAX_MEMBERS, Budget, Member, Names, shown_name
from easel.errors import ArchiveError

MAX_ZIP_READ = 4 * 1024 * 1024  # bytes at once; the list of 10,000 members takes less
LOCAL_HEADER = 30  # bytes before a member's name and data (APPNOTE 4.3.7)
ENCRYPTED = 0x41  # in either of two ways (APPNOTE 4.4.4)
UTF8_NAME = 0x800  # the same flags


def zip_members(stream: BinaryIO, budget: Budget) -> Iterator[Member]:
    """Yield the regular files of a zip, each opened when it is first read: a broken one does not end the others."""
    names = Names()
    with zipfile.ZipFile(CautiousFile(stream)) as archive:
        check_no_overlap(archive.infolist())
        for info in archive.infolist():
            plain = member_name(info)
            is_folder = plain.endswith(("/", "\\"))  # info.is_dir() fails for a name of no characters
            name = names.check(plain, is_folder)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & ENCRYPTED:
                raise ArchiveError(f"The archive is encrypted ({shown_name(name)}): make it without a password.")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(
                    f"The archive has a link or device ({shown_name(name)}), and only files are unpacked."
                )
            if is_folder:
                continue
            # Python bounds what these two unpack at once, and not for the others.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ArchiveError(
                    f"The archive is compressed in a way that is not read ({shown_name(name)}): use deflate."
                )
            body = ZipBody(archive, info)
            try:
                yield Member(name, functools.partial(body.read, budget))
            finally:
                body.close()


def member_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name as it was meant: macOS writes UTF-8 without the flag that says so."""
    if info.flag_bits & UTF8_NAME:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def check_no_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Refuse members that share bytes: so a file of 40 kB can hold gigabytes (Fifield, A better zip bomb, 2019)."""
    for one, other in pairwise(sorted(infos, key=lambda info: info.header_offset)):
        if one.header_offset + LOCAL_HEADER + one.compress_size > other.header_offset:
            raise ArchiveError(f"The archive has members that overlap ({shown_name(one.filename)}): make it again.")


class ZipBody:
    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive, self._info = archive, info
        self._file: IO[bytes] | None = None

    def read(self, budget: Budget, size: int) -> bytes:
        """Return at most `size` bytes of the member, which count against the budget."""
        if self._file is None:
            self._file = self._archive.open(self._info)
        return budget.spend(self._file.read(size))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class CautiousFile:
    """What zipfile needs of a file, with a limit on a single read: it reads the whole list of members at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self._read = stream.read

    def read(self, n: int = -1) -> bytes:
        data = self._read(MAX_ZIP_READ + 1 if n < 0 else min(n, MAX_ZIP_READ + 1))
        if len(data) > MAX_ZIP_READ:
            raise ArchiveError(f"The archive has more than {MAX_MEMBERS} members.")
        return data
