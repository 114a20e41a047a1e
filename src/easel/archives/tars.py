"""The members of a tar, read once from front to end, without trusting what it says of itself."""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from easel.archives.members import CHUNK, Budget, Member, Names, shown_name
from easel.errors import ArchiveError

MAX_TAR_HEADER = 64 * 1024  # bytes of a long name; tarfile would read one of any size into memory
MAX_XZ_MEMORY = 256 * 1024 * 1024  # bytes; `xz -9` needs 65 MiB to unpack
PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
HEADER_TYPES = (*PAX_TYPES, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
PLAIN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


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
    while True:
        block = read_exactly(stream, tarfile.BLOCKSIZE, budget)
        if len(block) < tarfile.BLOCKSIZE or not block.strip(b"\0"):
            return  # Two empty blocks should end it; some programs write none.
        info = tar_header(block)
        names.count_header()
        if info is None or info.size < 0:
            raise tarfile.ReadError
        if info.type in HEADER_TYPES:
            if info.size > MAX_TAR_HEADER:
                raise ArchiveError("The archive has a member whose name or attributes are too long.")
            text = read_exactly(stream, padded(info.size), budget)[: info.size]
            if info.type == tarfile.GNUTYPE_LONGNAME:
                longer["path"] = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif info.type in PAX_TYPES:  # The others name no member.
                longer |= pax_values(text)
            continue
        size = int(longer["size"]) if longer.get("size", "").isdecimal() else info.size
        name = names.check(longer.get("path", info.name), info.isdir())
        if any(key.startswith("GNU.sparse") for key in longer) or not (info.isdir() or info.type in PLAIN_TYPES):
            raise ArchiveError(f"The archive has a link or device ({shown_name(name)}), and only files are unpacked.")
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
