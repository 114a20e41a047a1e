"""Files of a batch, on this machine or on an object store: a path, or a URI such as s3://bucket/folder."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pyarrow import fs

from easel.errors import InputError
from easel.files import write_atomically

CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Place:
    """A file or folder: `path` is what `filesystem` knows it by. Both can be sent to another process."""

    filesystem: Any
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place of a path or a URI. Raises InputError for a URI of no kind that pyarrow reads."""
        if "://" not in text:
            return cls(fs.LocalFileSystem(), str(Path(text).expanduser().resolve()))
        try:
            filesystem, path = fs.FileSystem.from_uri(text)
        except (ValueError, OSError, ImportError, NotImplementedError) as error:
            raise InputError(
                f"{text!r} must be a path or a URI that pyarrow opens (s3://, gs://, abfs://, hdfs://, file://), which "
                f"it does not: {' '.join(str(error).split())[:200]}"
            ) from None
        return cls(filesystem, path)

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def __truediv__(self, name: str) -> "Place":
        return Place(self.filesystem, f"{self.path.rstrip('/')}/{name}")

    def exists(self) -> bool:
        return bool(self.filesystem.get_file_info(self.path).type != fs.FileType.NotFound)

    def is_folder(self) -> bool:
        return bool(self.filesystem.get_file_info(self.path).type == fs.FileType.Directory)

    def files(self, suffixes: tuple[str, ...]) -> list["Place"]:
        """Return the folder's files with one of the suffixes, sorted; hidden ones are left out."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        found = [one.path for one in self.filesystem.get_file_info(selector) if one.type == fs.FileType.File]
        named = [path for path in found if path.endswith(suffixes) and not path.rpartition("/")[2].startswith(".")]
        return [Place(self.filesystem, path) for path in sorted(named)]

    def names(self) -> set[str]:
        """Return what is in the folder; of one that is not there nothing."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {one.base_name for one in found}

    def make_folder(self) -> None:
        self.filesystem.create_dir(self.path, recursive=True)

    def remove(self) -> None:
        """Remove a folder with all that is in it, if it is there."""
        if self.is_folder():
            self.filesystem.delete_dir(self.path)

    def open(self) -> Any:
        return self.filesystem.open_input_file(self.path)

    def read(self) -> bytes:
        with self.open() as stream:
            return bytes(stream.read())

    def write(self, content: bytes) -> None:
        """Write the file whole or not at all; its folder is made where it is missing."""
        parent = self.path.rpartition("/")[0]
        if self.is_local:
            Path(parent).mkdir(parents=True, exist_ok=True)
            with write_atomically(Path(self.path)) as stream:
                stream.write(content)
            return
        self.filesystem.create_dir(parent, recursive=True)
        with self.filesystem.open_output_stream(self.path) as stream:  # an object appears when it is closed
            stream.write(content)


def digest_files(places: list[Place]) -> str:
    """Return the SHA-256 of what the files hold, one after another."""
    digest = hashlib.sha256()
    for place in places:
        for chunk in chunks(place):
            digest.update(chunk)
    return digest.hexdigest()


def chunks(place: Place) -> Iterator[bytes]:
    with place.open() as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
