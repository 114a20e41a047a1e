"""The members of a tar or zip, read once from front to end, without trusting what it says of itself.

Every byte that is unpacked counts against one budget as it appears, also those of members that nobody wants. A damaged
archive raises what the decoders raise; one that is hostile or of an unsupported kind raises AdapterError.
"""

import bz2
import functools
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO

from easel.errors import AdapterError

MAX_MEMBERS = 10_000
MAX_TAR_HEADER = 64 * 1024  # bytes of a long name; tarfile would read one of any size into memory
MAX_ZIP_READ = 4 * 1024 * 1024  # bytes at once; the list of 10,000 members takes less
MAX_XZ_MEMORY = 256 * 1024 * 1024  # bytes; `xz -9` needs 65 MiB to unpack
CHUNK = 1024 * 1024
PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
HEADER_TYPES = (*PAX_TYPES, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
PLAIN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


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
            raise AdapterError(f"The archive unpacks to more than {self._max_bytes} bytes, the most that is accepted.")
        return data


class Names:
    """Checks the members' names as they come, and counts them."""

    def __init__(self) -> None:
        self._count = 0
        self._files: set[str] = set()

    def check(self, name: str, is_folder: bool) -> str:
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise AdapterError(f"The archive has more than {MAX_MEMBERS} members.")
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or name[1:2] == ":":
            raise AdapterError(f"The archive has a member that leaves its folder ({shown_name(name)}).")
        if not is_folder:
            if str(path) in self._files:
                raise AdapterError(f"The archive has two members of one name ({shown_name(str(path))}).")
            self._files.add(str(path))
        return str(path)


def shown_name(name: str) -> str:
    return ascii(name if len(name) <= 100 else name[:100] + "...")


def zip_members(stream: BinaryIO, budget: Budget) -> Iterator[Member]:
    names = Names()
    with zipfile.ZipFile(CautiousFile(stream)) as archive:
        for info in archive.infolist():
            is_folder = info.filename.endswith("/")  # info.is_dir() fails for a name of no characters
            name = names.check(info.filename, is_folder)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & 0x41:  # encrypted, in either of two ways
                raise AdapterError(f"The archive is encrypted ({shown_name(name)}).")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise AdapterError(
                    f"The archive has a link or device ({shown_name(name)}), and only files are unpacked."
                )
            if is_folder:
                continue
            # Python bounds what these two unpack at once, and not for the others.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise AdapterError(
                    f"The archive is compressed in a way that is not read ({shown_name(name)}): use deflate."
                )
            with archive.open(info) as member:
                yield Member(name, functools.partial(read_within, budget, member))


def read_within(budget: "Budget", member: IO[bytes], size: int) -> bytes:
    """Return at most `size` bytes of a member, which count against the budget."""
    return budget.spend(member.read(size))


class CautiousFile:
    """What zipfile needs of a file, with a limit on a single read: it reads the whole list of members at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self._read = stream.read

    def read(self, n: int = -1) -> bytes:
        data = self._read(MAX_ZIP_READ + 1 if n < 0 else min(n, MAX_ZIP_READ + 1))
        if len(data) > MAX_ZIP_READ:
            raise AdapterError(f"The archive has more than {MAX_MEMBERS} members.")
        return data


def unpacked(stream: BinaryIO, kind: str) -> Any:
    match kind:
        case "tar.gz":
            return gzip.GzipFile(fileobj=stream)
        case "tar.bz2":
            return bz2.BZ2File(stream)
        case "tar.xz":
            return XzReader(stream)
    return stream


class XzReader:
    """lzma.LZMAFile with a limit on memory: a file can ask for 4 GB of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)

    def read(self, n: int) -> bytes:
        while not self._decoder.eof:
            data = self._stream.read(CHUNK) if self._decoder.needs_input else b""
            if not data and self._decoder.needs_input:
                raise EOFError
            unpacked = self._decoder.decompress(data, n)
            if unpacked:
                return unpacked
        return b""


def tar_header(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None


def tar_members(stream: Any, budget: Budget) -> Iterator[Member]:
    """Yield the regular files of an uncompressed tar, read once from front to end (ustar, GNU and pax names)."""
    names = Names()
    longer: dict[str, str] = {}
    headers = 0
    while True:
        block = read_exactly(stream, tarfile.BLOCKSIZE, budget)
        if len(block) < tarfile.BLOCKSIZE or not block.strip(b"\0"):
            return  # Two empty blocks should end it; some programs write none.
        info = tar_header(block)
        headers += 1
        if info is None or info.size < 0:
            raise tarfile.ReadError
        if info.type in HEADER_TYPES:
            if info.size > MAX_TAR_HEADER or headers > 3 * MAX_MEMBERS:
                raise AdapterError("The archive has a member whose name or attributes are too long.")
            text = read_exactly(stream, padded(info.size), budget)[: info.size]
            if info.type == tarfile.GNUTYPE_LONGNAME:
                longer["path"] = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif info.type in PAX_TYPES:  # The others name no member.
                longer |= pax_values(text)
            continue
        size = int(longer["size"]) if longer.get("size", "").isdecimal() else info.size
        name = names.check(longer.get("path", info.name), info.isdir())
        if any(key.startswith("GNU.sparse") for key in longer) or not (info.isdir() or info.type in PLAIN_TYPES):
            raise AdapterError(f"The archive has a link or device ({shown_name(name)}), and only files are unpacked.")
        longer = {}
        if info.isdir():
            continue
        body = TarBody(stream, size, budget)
        yield Member(name, body.read)
        body.skip()


class TarBody:
    def __init__(self, stream: Any, size: int, budget: Budget) -> None:
        self._stream, self._budget = stream, budget
        self._left, self._padding = size, padded(size) - size

    def read(self, n: int) -> bytes:
        """Up to n bytes, fewer only at the end of the member."""
        data = read_exactly(self._stream, min(n, self._left), self._budget)
        if len(data) < min(n, self._left):
            raise EOFError
        self._left -= len(data)
        return data

    def skip(self) -> None:
        while self._left:
            self.read(CHUNK)
        read_exactly(self._stream, self._padding, self._budget)


def padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def read_exactly(stream: Any, n: int, budget: Budget) -> bytes:
    """n bytes, fewer only at the end of the stream."""
    parts = []
    while n:
        data = budget.spend(stream.read(n))
        if not data:
            break
        parts.append(data)
        n -= len(data)
    return b"".join(parts)


def pax_values(text: bytes) -> dict[str, str]:
    """Return the records "LENGTH KEY=VALUE\\n" of a pax header (POSIX.1-2001)."""
    values = {}
    while text:
        length = text.partition(b" ")[0]
        if not length.isdigit() or not len(length) + 1 < int(length) <= len(text):
            raise tarfile.ReadError
        key, _, value = text[len(length) + 1 : int(length) - 1].partition(b"=")
        values[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        text = text[int(length) :]
    return values
