"""The store: model files on disk, each once by its content, for all models and processes of this machine.

CACHE/blobs/sha256-HEX       a file, read-only; it has this name only when it is whole and verified. Or a link to a
                             file of the Hub's own cache, which was verified and is used in place
CACHE/blobs/md5-HEX          a link to the blob whose bytes have this MD5
CACHE/blobs/NAME.*           an unfinished download; the next one goes on from there
CACHE/snapshots/MODEL/KEY/   a model's folder of links into blobs/ (see snapshots.py)
CACHE/locks/NAME.lock        held while a blob is made; the kernel lets go of it when its process dies
"""

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from filelock import FileLock, Timeout

from easel.errors import ResourceError
from easel.files import disk_errors, rename_file, sync_file
from easel.weights.download.chunks import read_journal
from easel.weights.manifest import LockedFile, pieces

READ_ONLY = 0o444
Progress = Callable[[int], None]  # is told how many further bytes are done
Log = Callable[[str], None]


@dataclass(frozen=True)
class WeightPaths:
    """Where weights may be on this machine: `cache` is the store, `mounted` a folder that holds them already."""

    cache: Path
    mounted: Path | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return EASEL_CACHE_DIR, or `easel` in the user's cache folder; and EASEL_WEIGHTS_DIR."""
        user_cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = Path(environ.get("EASEL_CACHE_DIR") or Path(user_cache) / "easel")
        mounted = environ.get("EASEL_WEIGHTS_DIR")
        return cls(cache.absolute(), Path(mounted).absolute() if mounted else None)


def blob_path(cache: Path, digest: str) -> Path:
    return cache / "blobs" / digest.replace(":", "-")


def has_size(path: Path, size: int | None) -> bool:
    """Return whether there is a file of this size (of any, for None), at the end of all links."""
    try:
        return path.is_file() and size in (None, path.stat().st_size)
    except OSError:
        return False


def find_blob(cache: Path, file: LockedFile) -> Path | None:
    """Return the file's blob. It was verified when it got its name, so only its size is looked at."""
    path = blob_path(cache, file.digest) if file.digest else None
    return path if path and has_size(path, file.size) else None


def unfinished_parts(blob: Path) -> list[Path]:
    return sorted(blob.parent.glob(blob.name + ".*"))


def bytes_done(blob: Path) -> int:
    """Return how far an unfinished download has come that the next one goes on with."""
    journal = read_journal(blob.with_name(f"{blob.name}.part.journal"))
    return min(journal[0].size, len(journal[1]) * journal[0].chunk_bytes) if journal else 0


def bytes_on_disk(path: Path) -> int:
    """Return bytes that a file takes: an unfinished one may have its room or holes, and a link takes none."""
    try:
        state = path.lstat()
    except FileNotFoundError:  # Another process has just removed it.
        return 0
    return 0 if path.is_symlink() else min(state.st_size, state.st_blocks * 512)


@contextmanager
def blob_lock(cache: Path, blob: Path, label: str, log: Log) -> Iterator[None]:
    """Hold a blob's lock: one process at a time makes it. The others wait here, and `log` says so."""
    with disk_errors(cache):  # a network's file system may have no locks
        for folder in (cache / "locks", blob.parent):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path(cache, blob))
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            log(f"{label}: another process fetches it; waiting")
            held = lock.acquire()
    with held:
        yield


def is_busy(cache: Path, blob: Path) -> bool:
    """Return whether some process makes this blob at the moment."""
    path = lock_path(cache, blob)
    try:
        if path.is_file():
            FileLock(path).acquire(blocking=False).lock.release()
    except Timeout:
        return True
    except OSError:
        return False
    return False


def lock_path(cache: Path, blob: Path) -> Path:
    return cache / "locks" / f"{blob.name}.lock"


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise ResourceError when `needed` bytes do not fit on the disk of `folder`, which may not exist yet."""
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ResourceError(
            f"{what} needs {needed} bytes more in {folder}, and {free} are free there ({needed / 1e9:.2f} and "
            f"{free / 1e9:.2f} GB): make room, for instance by `easel weights prune`, or set EASEL_CACHE_DIR to a "
            "folder on a larger disk."
        )


def hash_file(path: Path, algorithms: set[str], progress: Progress, copy: BinaryIO | None = None) -> dict[str, str]:
    """Return the digests of a file by algorithm, as a lock writes them, from one read, which also goes into `copy`."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    for piece in pieces(path):
        if copy:
            copy.write(piece)
        for one in hashes.values():
            one.update(piece)
        progress(len(piece))
    return {name: f"{name}:{one.hexdigest()}" for name, one in hashes.items()}


def copy_file(source: Path, unfinished: Path, algorithms: set[str], progress: Progress) -> dict[str, str]:
    """Copy a file, synced, and give its digests. Raises ResourceError when the disk is full, OSError for all else."""
    try:
        with unfinished.open("wb") as copy:
            digests = hash_file(source, algorithms, progress, copy)
            sync_file(copy)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        check_room(unfinished.parent, source.stat().st_size, f"A copy of {source}")
        raise  # There is room again, or a quota that nobody can ask for.
    return digests


def keep_blob(cache: Path, made: Path, sha256: str, other: str | None) -> Path:
    """Give a verified file its final name, and a link by its `other` digest if it was pinned by that one."""
    blob = blob_path(cache, sha256)
    with disk_errors(cache):
        if not made.is_symlink():
            made.chmod(READ_ONLY)
        if made != blob:
            rename_file(made, blob)
        if other not in (None, sha256):
            make_link(blob_path(cache, other), blob.name)
    return blob


def make_link(path: Path, target: str) -> None:
    """A symbolic link that replaces whatever has this name."""
    temporary = path.with_name(f"{path.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)
