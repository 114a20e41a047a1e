"""The files of a data set: of a zip, a tar or a folder, one after the other, none of them written to disk."""

import os
import stat
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from easel.archives.kinds import archive_kind, archive_members
from easel.archives.members import DAMAGED, DAMAGED_TEXT, MAX_MEMBERS, Budget, Member
from easel.errors import ArchiveError, InputError
from easel.images.formats import kind_of
from easel.training.text import printable

MAX_UNPACKED = 2_000_000_000  # bytes of all that is read; what of a zip's member is not read does not count
IGNORED_FOLDERS = ("__macosx", "@eadir")  # of macOS, and of Synology's disks
IGNORED_FILES = (".ds_store", "thumbs.db", "desktop.ini")  # written by file managers beside images


def dataset_files(path: Path) -> Generator[Member, None, None]:
    """Yield the files of a zip, tar or folder but for those that systems add. Raises InputError.

    Of an archive all is refused where any member is hostile (a link, a device, a name that leads out), in a tar also
    where one is damaged. `read` of a member raises `DAMAGED`, or InputError for a file that is not read.
    """
    for member in folder_files(path) if path.is_dir() else archive_files(path):
        if not is_ignored(member.name):
            yield member


def is_ignored(name: str) -> bool:
    *folders, file = (part.lower() for part in PurePosixPath(name).parts or (name,))
    return file in IGNORED_FILES or file.startswith("._") or any(folder in IGNORED_FOLDERS for folder in folders)


def archive_files(path: Path) -> Iterator[Member]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): name a zip or tar of images, or a folder."
        ) from None
    try:
        with stream:
            start = stream.read(512)
            stream.seek(0)
            kind = archive_kind(start)
            if kind is None:
                what = kind_of(start)
                raise InputError(
                    f"{path.name} must be a zip or tar of images, or a folder; it is {what}. Pack the images."
                )
            yield from archive_members(stream, kind, Budget(MAX_UNPACKED))
    except ArchiveError as error:
        raise InputError(str(error)) from None
    except DAMAGED:
        raise InputError(DAMAGED_TEXT) from None


def folder_files(folder: Path) -> Iterator[Member]:
    count = 0
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]  # which os.walk does not follow
        for name in sorted([*files, *links]):
            count += 1
            if count > MAX_MEMBERS:
                raise InputError(f"{folder} has more than {MAX_MEMBERS} files: name a folder of the images alone.")
            path = Path(parent, name)
            body = FileBody(path, folder)
            try:
                yield Member(path.relative_to(folder).as_posix(), body.read)
            finally:
                body.close()


def refuse(error: OSError) -> None:
    raise InputError(f"{printable(str(error.filename))} cannot be read ({error.strerror}): make it readable.")


class FileBody:
    """A file of a folder, opened when it is first read."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._file: BinaryIO | None = None

    def read(self, size: int) -> bytes:
        if self._file is None:
            path = self._path.resolve()
            if not path.is_relative_to(self._folder.resolve()):
                raise InputError("it is a link that leaves the folder: copy the file here.")
            if not stat.S_ISREG(path.stat().st_mode):
                raise InputError("it is no regular file: copy the images here.")
            self._file = path.open("rb")
        return self._file.read(size)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
