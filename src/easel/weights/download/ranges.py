"""Download one weights file, over several connections, verified while it arrives, and resumed after anything.

Unfinished bytes are in TARGET.part, and TARGET.part.journal says which of them count. The parts:

    connection.py  one connection: redirects, proxies, TLS, and the network's errors
    responses.py   what a server's answer says, and whether it is to be believed
    retries.py     one connection's way to the file and its attempts
    signed_url.py  the address, which may have to be asked for again, and what the caller is told
    threads.py     threads that end together
    window.py      which chunk is next, and the buffers between the network and the digest
    journal.py     what is on disk
    streams.py     ranges side by side, or one plain stream
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from easel.errors import FetchError
from easel.files import disk_errors, rename_file, sync_file
from easel.weights.download.connection import Address, Limits
from easel.weights.download.journal import Journal, make_head, read_journal
from easel.weights.download.responses import FileChanged, RangesUnsupported, RemoteFile
from easel.weights.download.retries import Download
from easel.weights.download.signed_url import Report, SignedUrl
from easel.weights.download.streams import Digests, Ranges, probe, stream_whole
from easel.weights.download.threads import ThreadGroup

MAX_CONNECTIONS = 16  # each has a buffer, and a third of them stay for chunks that wait for the digest


@dataclass(frozen=True)
class Received:
    size: int  # bytes
    sha256: str  # "sha256:" and 64 hex digits


class WrongDigest(Exception):
    """The text says what the digest is."""


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
    """Fetch the file of `size` bytes with this digest ("sha256:...", "md5:...") to `target`, which appears whole and
    verified. None: whatever the server has. One process at a time may do this for one target.

    `resolve` says where the file is just now; it is called again when that place refuses it, as a signed address does
    that has expired, and may raise EaselError. `label` is what messages call the file. `progress` gets the number of
    bytes that have newly arrived, those found on disk too; a negative one when some count no longer. All three are
    called in this thread. Up to `connections` (1 to 16) requests run at once.

    Raises FetchError (refused, missing, changed, wrong, broken off too often) and ResourceError (the disk). After
    those, after any other exception and after a kill, the next call goes on from what is on disk, if that is of use.
    """
    limits = limits or Limits()
    report = Report(progress, log)
    route = SignedUrl(resolve, label, limits)
    connections = max(1, min(connections, MAX_CONNECTIONS))
    order = Download(target, label, size, digest, connections, limits, route, report)
    try:
        return attempt_all(order)
    finally:
        report.tell()


def attempt_all(order: Download) -> Received:
    """The download, from the beginning again where that helps: once for a file that changes, once without ranges."""
    # A request for the first byte only would take as long as the whole of a small file.
    plain = order.size is not None and order.size <= order.limits.chunk_bytes
    has_started_over = False
    while True:
        try:
            return receive(order, plain)
        except RangesUnsupported as problem:
            plain = True
            order.report.note(f"{order.label}: {order.route.host} {problem}: it is fetched in one stream")
        except (FileChanged, WrongDigest) as problem:
            if has_started_over:
                raise FetchError(f"{order.label}: {problem}, and again after a new start. Try again later.") from None
            has_started_over = True
            order.report.note(f"{order.label}: {problem}: it is fetched anew from the beginning")
        discard(order)


def discard(order: Download) -> None:
    with disk_errors(order.part):
        order.journal.unlink(missing_ok=True)
        order.part.unlink(missing_ok=True)
    order.report.discard()


def receive(order: Download, plain: bool) -> Received:
    def tick() -> None:
        order.report.tell()
        order.route.refresh_if_requested()

    threads = ThreadGroup(tick)
    found = None if plain else probe(order, threads)
    with unfinished(order) as file:
        if found is None or not found.ranges or found.size is None:
            return receive_whole(order, threads, file)
        return receive_ranges(order, threads, file, found, found.size)


@contextmanager
def unfinished(order: Download) -> Iterator[FileIO]:
    """The open unfinished file; it is removed at the end unless a journal says what it holds."""
    try:
        with disk_errors(order.part):
            file = os.fdopen(os.open(order.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0)
        with file:
            yield file
    finally:
        if not order.journal.exists():
            order.part.unlink(missing_ok=True)


def receive_whole(order: Download, threads: ThreadGroup, file: FileIO) -> Received:
    with disk_errors(order.journal):
        order.journal.unlink(missing_ok=True)
    size, digests = stream_whole(order, threads, file)
    with disk_errors(order.part):
        file.truncate(size)
    return verify(order, file, size, digests, resumed=False)


def receive_ranges(order: Download, threads: ThreadGroup, file: FileIO, found: RemoteFile, size: int) -> Received:
    head = make_head(size, found.etag, order.digest, order.limits.chunk_bytes)
    earlier = read_journal(order.journal)
    is_there = os.fstat(file.fileno()).st_size == size  # else somebody has removed it, but not its journal
    recorded = earlier[1] if earlier and is_there and head.continues(earlier[0]) else frozenset()
    if not recorded:
        order.journal.unlink(missing_ok=True)
    with disk_errors(order.part):
        reserve(file, size)
        file.truncate(size)
    journal = Journal(order.journal, head, recorded)
    try:
        digests = Ranges(order, threads, file, found, size, journal, recorded).run()
    finally:
        journal.close()
    return verify(order, file, size, digests, resumed=bool(recorded))


def reserve(file: FileIO, size: int) -> None:
    """Have the disk set `size` bytes aside, so that one that is too full says so now. Raises OSError."""
    disk = os.fstatvfs(file.fileno())
    # Asked first, since the system would take all that is left before it said no.
    if size - os.fstat(file.fileno()).st_blocks * 512 > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if size and hasattr(os, "posix_fallocate"):  # macOS has none
        os.posix_fallocate(file.fileno(), 0, size)


def verify(order: Download, file: FileIO, size: int, digests: Digests, resumed: bool) -> Received:
    """Give the file its final name if it is the one that was ordered."""
    if order.digest is not None:
        digest = digests.get(order.digest.partition(":")[0])
        if digest != order.digest and resumed:
            raise WrongDigest("what an earlier run left of it is damaged")
        if digest != order.digest:
            discard(order)
            raise FetchError(
                f"{order.label}: {order.route.host} has a file with digest {digest} instead of {order.digest}. It is "
                "another file than the lock file names: restore that, or use an address of the right one."
            )
    with disk_errors(order.part):
        sync_file(file)
        rename_file(order.part, order.target)
        order.journal.unlink(missing_ok=True)
    return Received(size, digests.get())
