"""What kind of archive a file is, by its content, and the members of any."""

from collections.abc import Iterator
from typing import BinaryIO

from easel.archives.members import Budget, Member
from easel.archives.tars import tar_header, tar_members, unpacked
from easel.archives.zips import zip_members
from easel.errors import ArchiveError

MAGICS = {b"PK\3\4": "zip", b"PK\5\6": "zip", b"\x1f\x8b": "tar.gz", b"BZh": "tar.bz2", b"\xfd7zXZ\0": "tar.xz"}


def archive_kind(start: bytes) -> str | None:
    """Return what a file is by its first 512 bytes: "zip", "tar", "tar.gz", "tar.bz2", "tar.xz", or None."""
    for magic, kind in MAGICS.items():
        if start.startswith(magic):
            return kind
    return "tar" if len(start) >= 512 and tar_header(start[:512]) else None


def archive_members(stream: BinaryIO, kind: str | None, budget: Budget) -> Iterator[Member]:
    """Return the regular files of an archive of this kind, front to end. Raises ArchiveError and `DAMAGED`."""
    if kind == "zip":
        return zip_members(stream, budget)
    if kind is not None and kind.startswith("tar"):
        return tar_members(unpacked(stream, kind), budget)
    raise ArchiveError("The file is neither a tar nor a zip archive.")
