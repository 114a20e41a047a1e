"""Write a model's lock: what lies beside it as it is now, what has a source with the size and SHA-256 found there."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

from easel.errors import FetchError, ResourceError, WeightsError
from easel.progress import ByteBar
from easel.weights.hub import HubAnswer, ask_hub
from easel.weights.manifest import (
    LOCK_NAME,
    LockedFile,
    Manifest,
    lock_files,
    lock_folder,
    read_manifest,
    relative_paths,
    write_manifest,
)
from easel.weights.pull import algorithms, find_missing, mismatch, pull_file, readable
from easel.weights.sources import HubFile
from easel.weights.store import Log, check_room, hash_file


def lock_model(folder: Path, cache: Path, log: Log, stream: TextIO) -> list[str]:
    """Write `folder/weights.lock` and return what stays unpinned and why, each as a sentence.

    What has to be fetched for that goes into the store, `cache`, with a bar on `stream`. A lock that already names
    sources keeps them; without one, or without any source, it is a lock of the files in the folder.
    """
    sourced = read_sourced(folder)
    if not sourced:
        manifest = lock_folder(folder)
        log(f"{folder / LOCK_NAME}: {len(manifest.files)} files, as they lie there.")
        return []
    problems, files = [], []
    for file in sourced:
        try:
            files.append(file if file.is_pinned else pin_file(file, folder, cache, log, stream))
        except (FetchError, WeightsError, ResourceError) as error:
            files.append(file)
            problems.append(f"{file.path} is not pinned: {error}")
    known = {file.path for file in sourced}
    files += lock_files(folder, (path for path in relative_paths(folder) if path not in known))
    write_manifest(Manifest(tuple(sorted(files, key=lambda file: file.path))), folder)
    pinned = sum(file.is_pinned for file in files)
    log(f"{folder / LOCK_NAME}: {pinned} of {len(files)} files are pinned by size and SHA-256.")
    return problems


def read_sourced(folder: Path) -> list[LockedFile]:
    if not (folder / LOCK_NAME).is_file():
        return []
    return [file for file in read_manifest(folder).files if file.source]


def pin_file(file: LockedFile, folder: Path, cache: Path, log: Log, stream: TextIO) -> LockedFile:
    """Return the entry with its size and SHA-256; what it already says must agree, and is verified by the bytes."""
    source = file.parsed_source
    answer = ask_hub(source) if isinstance(source, HubFile) else None
    if answer and answer.digest and answer.size is not None and not (file.digest or "").startswith("md5:"):
        problem = mismatch(file, answer.size, {"sha256": answer.digest})
        if problem:
            raise WeightsError(f"on the Hub it {problem}, which the lock names.")
        return log_pin(replace(file, size=answer.size, digest=answer.digest), "as the Hub has it on record", log)
    return fetch_to_pin(file, folder, cache, answer, log, stream)


def fetch_to_pin(
    file: LockedFile, folder: Path, cache: Path, answer: HubAnswer | None, log: Log, stream: TextIO
) -> LockedFile:
    missing = find_missing(file, folder, cache)
    size = file.size or (answer.size if answer else None)
    if not missing.in_hub_cache:
        check_room(cache, size or 0, file.path)
    with ByteBar(size or 0, stream) as bar:
        progress = bar.advance_unforeseen if size is None else bar.advance
        blob = pull_file(missing, cache, progress, partial(bar.log_above, log))
    digests = hash_file(blob, algorithms(file), lambda count: None)
    how = "fetched; its MD5 is the one in the lock" if (file.digest or "").startswith("md5:") else "fetched"
    return log_pin(replace(file, size=blob.stat().st_size, digest=digests["sha256"]), how, log)


def log_pin(file: LockedFile, how: str, log: Log) -> LockedFile:
    log(f"{file.path}: {readable(file.size or 0)}, {file.digest} ({how})")
    return file
