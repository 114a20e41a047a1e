"""Fetch one file: with ranges over several connections or in one stream, and again where that helps."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeVar

from easel.files import disk_errors, rename_file, sync_file
from easel.weights.download.chunks import (
    READ_BYTES,
    ChunkDownload,
    ChunkQueue,
    Digests,
    Head,
    Journal,
    read_journal,
    write_at,
)
from easel.weights.download.connection import RetryingConnection
from easel.weights.download.responses import (
    FileChanged,
    RangesUnsupported,
    RemoteFile,
    TransientError,
    parse_length,
    parse_probe,
)
from easel.weights.download.threads import Address, Download, Limits, ProgressReport, SignedUrl, ThreadGroup

__all__ = ["Address", "Limits", "Received", "fetch_file"]
T = TypeVar("T")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_CONNECTIONS = 16  # each takes a thread, and few servers allow more


@dataclass(frozen=True)
class Received:
    """A file that has arrived."""

    size: int  # bytes
    sha256: str  # "sha256:" and 64 hex digits


def fetch_file(
    resolve: Callable[[], Address],
    target: Path,
    *,
    label: str,
    size: int | None,
    digest: str | None,
    progress: Callable[[int], None],
    log: Callable[[str], None],
    connections: int = 8,
    limits: Limits | None = None,
) -> Received:
    """Fetch the file of `size` bytes with this digest ("sha256:...", "md5:...") as `target`, and return what arrived.

    `target` appears whole, verified and on disk; None as size or digest: whatever the server has. One process at a time
    may do this for one target. After an interrupt, threads that wait for the network last until it answers or the
    process ends.

    `resolve` says where the file is just now; it is called again when that place refuses it, as a signed URL does
    that has expired, and may raise EaselError. `label` is what messages call the file. `progress` gets the number of
    bytes that have newly arrived, those found on disk too; a negative one when some count no longer. All three are
    called in this thread. Up to `connections` (1 to 16) requests run at once.

    Raises FetchError (refused, missing, changed, wrong, broken off too often) and ResourceError (the disk). After
    those, after any other exception and after a kill, the next call goes on from what is on disk, if that is of use.
    """
    limits = limits or Limits()
    report = ProgressReport(progress, log)
    connections = max(1, min(connections, MAX_CONNECTIONS))
    url = SignedUrl(resolve, label, limits)
    try:
        return attempt_all(Download(target, label, size, digest, connections, limits, url, report))
    finally:
        report.flush()


def attempt_all(download: Download) -> Received:
    """Return the file, fetched again where that helps: once after it has changed, and once without ranges."""
    # A request for the first byte only would take as long as the whole of a small file.
    plain = download.size is not None and download.size <= download.limits.chunk_bytes
    has_started_over = False
    while True:
        try:
            return receive(download, plain)
        except RangesUnsupported as problem:
            plain = True
            download.log(f"{download.url.host} {problem}: it is fetched in one stream")
        except FileChanged as problem:
            if has_started_over:
                raise download.error(f"{problem}, and again after a new start. Try again later.") from None
            has_started_over = True
            download.log(f"{problem}: it is fetched anew from the beginning")
        discard(download)


def discard(download: Download) -> None:
    """Remove what is on disk, and count it no longer."""
    with disk_errors(download.part):
        download.journal.unlink(missing_ok=True)
        download.part.unlink(missing_ok=True)
    download.report.add(-download.report.arrived)


def receive(download: Download, plain: bool) -> Received:
    """Return the file after one attempt, with ranges unless `plain` or the server knows none."""

    def tick() -> None:
        download.report.flush()
        download.url.refresh_if_requested()

    group = ThreadGroup(tick)
    remote = None if plain else probe(download, group)
    with unfinished(download) as file:
        if remote is None or not remote.ranges or remote.size is None:
            return receive_whole(download, group, file)
        return receive_ranges(download, group, file, remote, remote.size)


@contextmanager
def unfinished(download: Download) -> Iterator[FileIO]:
    """Give the open unfinished file; it is removed at the end unless a journal says what it holds."""
    try:
        with disk_errors(download.part):
            file = FileIO(os.open(download.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+")
        with file:
            yield file
    finally:
        if not download.journal.exists():
            download.part.unlink(missing_ok=True)


def run_retrying(download: Download, group: ThreadGroup, attempt: Callable[[RetryingConnection], T]) -> T:
    """Return what `attempt` returns in a thread of the group, called again after each TransientError."""
    results: list[T] = []

    def task() -> None:
        with RetryingConnection(download, group) as connection:
            while not results:
                try:
                    results.append(attempt(connection))
                except TransientError as error:
                    connection.wait(error)

    group.run(task)
    return results[0]


def probe(download: Download, group: ThreadGroup) -> RemoteFile:
    """Return what the response to a request for the first byte says of the file. Raises FetchError."""
    remote = run_retrying(download, group, lambda connection: parse_probe(connection.get({"Range": "bytes=0-0"})))
    download.check_size(remote.size)
    return remote


def receive_whole(download: Download, group: ThreadGroup, file: FileIO) -> Received:
    """Return the file from one stream, from the beginning in each attempt."""
    with disk_errors(download.journal):
        download.journal.unlink(missing_ok=True)
    size, digests = run_retrying(download, group, lambda connection: stream(download, group, connection, file))
    with disk_errors(download.part):
        file.truncate(size)
    return verify(download, file, size, digests, resumed=False)


def stream(download: Download, group: ThreadGroup, connection: RetryingConnection, file: FileIO) -> tuple[int, Digests]:
    """Return the size in bytes and the digests of the whole file, which is then in `file`."""
    digests, size = Digests(download.digest), 0
    try:
        response = connection.get({})
        if response.status != 200:
            raise download.error(f"The server answers with status {response.status} instead of the file.")
        promised = parse_length(response)
        download.check_size(promised)
        while data := connection.read(response, READ_BYTES):
            with group.exclusive(), disk_errors(download.part):
                write_at(file, data, size)
                download.report.add(len(data))
            digests.update(data)
            size += len(data)
            if download.size is not None and size > download.size:
                download.check_size(size)
        if size < max(promised or 0, download.size or 0):
            raise TransientError("breaks off in the middle")
    except TransientError:
        download.report.add(-size)
        raise
    return size, digests


def receive_ranges(download: Download, group: ThreadGroup, file: FileIO, remote: RemoteFile, size: int) -> Received:
    """Return the file of `size` bytes from its chunks, without those that an earlier run has left on disk."""
    head = make_head(size, remote.etag, download.digest, download.limits.chunk_bytes)
    earlier = read_journal(download.journal)
    is_there = os.fstat(file.fileno()).st_size == size  # else somebody has removed it, but not its journal
    recorded = earlier[1] if earlier and is_there and head.continues(earlier[0]) else frozenset()
    if not recorded:
        download.journal.unlink(missing_ok=True)
    with disk_errors(download.part):
        reserve(file, size)
        file.truncate(size)
    queue = ChunkQueue(group, size, download.limits.chunk_bytes, recorded)
    download.report.add(sum(chunk.length for chunk in queue.chunks if chunk.number in recorded))
    with closing(Journal(download.journal, head, recorded)) as journal:
        digests = ChunkDownload(download, group, file, remote, journal, queue).run()
    return verify(download, file, size, digests, resumed=bool(recorded))


def make_head(size: int, etag: str | None, digest: str | None, chunk_bytes: int) -> Head:
    """Return the head of a download by this machine."""
    boot = None if digest or not BOOT_ID.is_file() else BOOT_ID.read_text().strip()
    return Head(size, etag, digest, chunk_bytes, boot)


def reserve(file: FileIO, size: int) -> None:
    """Have the disk set `size` bytes aside, so that one that is too full says so now. Raises OSError."""
    disk = os.fstatvfs(file.fileno())
    # Asked first, since the system would take all that is left before it said no.
    if size - os.fstat(file.fileno()).st_blocks * 512 > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if size and hasattr(os, "posix_fallocate"):  # macOS has none
        os.posix_fallocate(file.fileno(), 0, size)


def verify(download: Download, file: FileIO, size: int, digests: Digests, resumed: bool) -> Received:
    """Return the file after giving it its final name, if it has the digest. Raises FetchError and FileChanged."""
    if download.digest is not None:
        digest = digests.get(download.digest.partition(":")[0])
        if digest != download.digest and resumed:
            raise FileChanged("what an earlier run left of it is damaged")
        if digest != download.digest:
            discard(download)
            raise download.other_file(f"a file with digest {digest} instead of {download.digest}")
    with disk_errors(download.part):
        sync_file(file)
        rename_file(download.part, download.target)
        download.journal.unlink(missing_ok=True)
    return Received(size, digests.get())
