"""Bring the files of a lock into the store, each from its source, under one progress bar."""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from easel.errors import FetchError, WeightsError
from easel.files import disk_errors
from easel.progress import ByteBar
from easel.weights.download.fetch import Address, fetch_file
from easel.weights.hub import ask_hub, find_in_hub_cache
from easel.weights.manifest import LockedFile
from easel.weights.sources import HubFile, LocalFile, WebFile, WeightSource
from easel.weights.store import (
    Log,
    Progress,
    blob_lock,
    blob_path,
    bytes_done,
    bytes_on_disk,
    check_room,
    copy_file,
    find_blob,
    hash_file,
    keep_blob,
    make_link,
    unfinished_parts,
)


@dataclass(frozen=True)
class Missing:
    """A file that is not in the store. `in_hub_cache` is where the user's Hub cache has it."""

    file: LockedFile
    blob: Path
    source: WeightSource
    in_hub_cache: Path | None

    @property
    def to_fetch(self) -> int:
        """Bytes that have not come yet, as far as the lock knows the size."""
        return 0 if self.in_hub_cache else max(0, (self.file.size or 0) - bytes_done(self.blob))

    @property
    def disk_needed(self) -> int:
        """Bytes that it will take on the disk beyond the room that an unfinished download has there."""
        if self.in_hub_cache:
            return 0
        return max(0, (self.file.size or 0) - sum(bytes_on_disk(part) for part in unfinished_parts(self.blob)))


def pull_files(files: Sequence[LockedFile], folder: Path, cache: Path, log: Log, stream: TextIO) -> None:
    """Have a blob for every file. `folder` is where a relative `file:` source counts from; the bar is on `stream`.

    Raises FetchError (it cannot be had), WeightsError (it is not what the lock says) and ResourceError (disk).
    """
    missing = [find_missing(file, folder, cache) for file in files if not find_blob(cache, file)]
    if not missing:
        return
    check_room(cache, sum(one.disk_needed for one in missing), folder.name)
    total = sum(one.file.size or 0 for one in missing)
    log(f"weights: downloading {len(missing)} of {len(files)} files ({readable(total)}) to {cache}{known(missing)}")
    started = time.monotonic()
    with ByteBar(total, stream) as bar:
        for one in sorted(missing, key=lambda one: one.file.size or 0):  # a token that is missing shows at the first
            progress = bar.advance_unforeseen if one.file.size is None else bar.advance
            pull_file(one, cache, progress, functools.partial(bar.log_above, log))
    log(f"weights: downloaded and verified {readable(bar.n)} in {time.monotonic() - started:.1f} s")


def known(missing: Sequence[Missing]) -> str:
    """Return what of the missing files is on this machine already, for the log."""
    begun = sum(bytes_done(one.blob) for one in missing)
    in_hub_cache = [one for one in missing if one.in_hub_cache]
    text = (
        f"; {len(in_hub_cache)} of them are in the Hub's cache, to be verified and used there" if in_hub_cache else ""
    )
    return text + (f"; an unfinished download has {readable(begun)}" if begun else "")


def readable(size: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale / 10 and size >= 1000:
            return f"{size / scale:.2f} {unit}"
    return f"{size} bytes"


def find_missing(file: LockedFile, folder: Path, cache: Path) -> Missing:
    source = file.parsed_source
    if isinstance(source, LocalFile):
        source = LocalFile(folder / source.path)
    # Without a digest the bytes decide the name of the blob; until then its source does.
    name = file.digest or "unpinned:" + hashlib.sha256(str(file.source).encode()).hexdigest()
    return Missing(
        file, blob_path(cache, name), source, find_in_hub_cache(source) if isinstance(source, HubFile) else None
    )


def pull_file(missing: Missing, cache: Path, progress: Progress, log: Log) -> Path:
    """Return the file's blob, made now unless another process was faster."""
    file, source = missing.file, missing.source
    with blob_lock(cache, missing.blob, source.label, log):
        found = find_blob(cache, file)
        if found:
            progress(found.stat().st_size)
            return found
        missing.blob.unlink(missing_ok=True)  # of a wrong size, or a link to what is gone
        sha256 = (
            (missing.in_hub_cache and link_from_hub_cache(missing, missing.in_hub_cache, progress, log))
            or (copy_local(missing, source, progress) if isinstance(source, LocalFile) else None)
            or fetch_remote(missing, progress, log)
        )
        return keep_blob(cache, missing.blob, sha256, file.digest)


def link_from_hub_cache(missing: Missing, path: Path, progress: Progress, log: Log) -> str | None:
    """Make the blob a link to a file of the Hub's cache, if that is the pinned one: nothing is downloaded twice."""
    digests: dict[str, str] = {}
    try:
        size = path.stat().st_size
        digests = hash_file(path, algorithms(missing.file), progress)
        problem = mismatch(missing.file, size, digests)
    except OSError as error:
        size, problem = 0, f"cannot be read ({error.strerror})"
    if problem:
        progress(-size)
        log(f"{missing.source.label}: {path} in the Hub's cache {problem}; fetching it instead")
        return None
    with disk_errors(missing.blob):
        make_link(missing.blob, str(path))
    return digests["sha256"]


def copy_local(missing: Missing, source: LocalFile, progress: Progress) -> str:
    path, label = source.path, source.label
    unfinished = missing.blob.with_name(missing.blob.name + ".part")
    if not path.is_file():
        raise FetchError(f"{label}: there is no such file on this machine. Put it there, or change the lock's source.")
    try:
        digests = copy_file(path, unfinished, algorithms(missing.file), progress)
    except OSError as error:
        raise FetchError(f"{label}: it cannot be copied into {unfinished.parent} ({error.strerror}).") from None
    problem = mismatch(missing.file, unfinished.stat().st_size, digests)
    if problem:
        unfinished.unlink()
        raise WeightsError(f"{label} {problem}, which the lock does not name: replace the file, or the lock's entry.")
    unfinished.replace(missing.blob)
    return digests["sha256"]


def fetch_remote(missing: Missing, progress: Progress, log: Log) -> str:
    file, source = missing.file, missing.source
    assert not isinstance(source, LocalFile)
    received = fetch_file(
        address_of(file, source),
        missing.blob,
        label=source.label,
        size=file.size,
        digest=file.digest,
        progress=progress,
        log=log,
    )
    return received.sha256


def address_of(file: LockedFile, source: HubFile | WebFile) -> Callable[[], Address]:
    if isinstance(source, WebFile):
        return lambda: Address(source.url, {})

    def ask() -> Address:
        answer = ask_hub(source)
        problem = mismatch(file, answer.size, {"sha256": answer.digest})
        if problem:  # told before any byte of it has come
            raise FetchError(f"{source.label}: the file on the Hub {problem}, which the lock does not name.")
        return answer.address

    return ask


def algorithms(file: LockedFile) -> set[str]:
    return {"sha256", (file.digest or "sha256").partition(":")[0]}


def mismatch(file: LockedFile, size: int | None, digests: Mapping[str, str | None]) -> str | None:
    """Return what of a file's size and digests is not as the lock has it; what is not known is no contradiction."""
    if None not in (file.size, size) and size != file.size:
        return f"has {size} bytes instead of {file.size}"
    found = digests.get((file.digest or "").partition(":")[0])
    return f"has digest {found} instead of {file.digest}" if found and found != file.digest else None
