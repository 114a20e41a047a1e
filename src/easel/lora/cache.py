"""Adapter files on disk, each once by its content, and which reference led to which of them.

    FOLDER/sha256-HEX.safetensors   the file; it has this name only when it is whole
    FOLDER/KEY.json                 what a reference led to; the time of this file is that of the last use
    FOLDER/.work-*                  the unfinished files of one request

A key is a digest of the reference and of the credential, so nobody gets what only another caller's token opens. Several
processes may use one folder: each file appears by a rename, and whatever one of them finds missing it fetches again.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from easel.files import disk_errors, rename_file, sync_file
from easel.weights.manifest import digest_of

ABANDONED_S = 3600.0  # Older work is of a process that died: a fetch may take ten minutes.
MAX_FILES = 2000  # All are looked at for each that is added.
DIGEST = r"sha256:[0-9a-f]{64}"
WRITTEN_DIGEST = re.compile(rf'^ "digest": "({DIGEST})"', re.MULTILINE)  # no text in an index has a line break
HEAD = 32 * 1024  # bytes of an index: what comes after the label and the digest may be 1 MB


@dataclass(frozen=True)
class Entry:
    """What a reference led to. `checked`: seconds since 1970, when its origin last said so."""

    label: str
    digest: str  # of the safetensors file
    size: int  # bytes
    checked: float
    config: dict[str, Any] | None = None
    fetched_digest: str | None = None  # of what was fetched: an archive's, or the file's own
    fetched_from: str | None = None  # digest of the URL that the ETag belongs to
    etag: str | None = None


def cache_key(url: str, token: str | None) -> str:
    credential = hashlib.sha256(token.encode()).hexdigest() if token else ""
    return hashlib.sha256(f"{url}\n{credential}".encode()).hexdigest()


class AdapterCache:
    """`max_bytes`: what the finished files may take together, once the least recently used are removed."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._verified: dict[Path, tuple[int, ...]] = {}

    def path(self, digest: str) -> Path:
        return self.folder / (digest.replace(":", "-") + ".safetensors")

    def find(self, key: str) -> Entry | None:
        """Return the entry of a key, if it can be read and its file is the one that it names. Counts as a use."""
        index = self.folder / f"{key}.json"
        try:
            entry = Entry(**json.loads(index.read_bytes()))
            if not is_valid(entry) or not self._is_intact(entry):
                return None
            os.utime(index)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return entry

    def _is_intact(self, entry: Entry) -> bool:
        path = self.path(entry.digest)
        state = path.stat()
        if state.st_size != entry.size:
            return False
        # Read it all only once in this process, and again if anything touched it.
        seen = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if self._verified.get(path) != seen:
            if digest_of(path) != entry.digest:
                return False
            self._verified[path] = seen
        return True

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        work = self.folder / f".work-{uuid4().hex}"  # named before it exists, so that a cancel leaves no folder
        try:
            with disk_errors(self.folder):
                work.mkdir(mode=0o700)
            yield work
        finally:
            try:
                shutil.rmtree(work, ignore_errors=True)
            except BaseException:  # A cancel can strike here as well, but only once.
                shutil.rmtree(work, ignore_errors=True)
                raise

    def keep(self, key: str, entry: Entry, unfinished: Path | None = None) -> Entry:
        """Record an entry; `unfinished` is its file, verified and synced, which moves into the cache."""
        with disk_errors(self.folder):
            if unfinished is not None:
                rename_file(unfinished, self.path(entry.digest))
            self._write_index(key, entry)
            self._evict(self.path(entry.digest))
        return entry

    def renew(self, key: str, entry: Entry, **changes: Any) -> Entry:
        return self.keep(key, replace(entry, **changes))

    def _write_index(self, key: str, entry: Entry) -> None:
        with self.work_folder() as work:
            unfinished = work / "index"
            with unfinished.open("xb") as stream:
                stream.write(json.dumps(asdict(entry), indent=1).encode())
                sync_file(stream)
            rename_file(unfinished, self.folder / f"{key}.json")

    def _evict(self, needed: Path) -> None:
        """Remove the least recently used files above the budget, `needed` never, and what nothing refers to."""
        used: dict[Path, float] = {}
        indices: dict[Path, list[Path]] = {}
        for index in self.folder.glob("*.json"):
            path, last_use = self._read_use(index)
            if path is not None:
                used[path] = max(used.get(path, 0.0), last_use)
                indices.setdefault(path, []).append(index)
        present = {path: size_and_time(path) for path in self.folder.glob("sha256-*.safetensors")}
        for path, (size, written) in present.items():
            present[path] = size + sum(size_and_time(index)[0] for index in indices.get(path, ())), written
        total, count = sum(size for size, _ in present.values()), len(present)
        now = time.time()
        for path in sorted(present, key=lambda path: used.get(path, 0.0)):
            size, written = present[path]
            is_full = total > self.max_bytes or count > MAX_FILES
            orphan = path not in used and now - written > ABANDONED_S  # else its index is about to be written
            if path != needed and (orphan or (is_full and path in used)):
                for victim in (*indices.get(path, ()), path):
                    victim.unlink(missing_ok=True)
                total, count = total - size, count - 1
        for work in self.folder.glob(".work-*"):
            if now - size_and_time(work)[1] > ABANDONED_S:
                shutil.rmtree(work, ignore_errors=True)

    def _read_use(self, index: Path) -> tuple[Path | None, float]:
        try:
            with index.open(encoding="utf-8") as stream:
                found = WRITTEN_DIGEST.search(stream.read(HEAD))
            if found and self.path(found[1]).is_file():
                return self.path(found[1]), index.stat().st_mtime
            index.unlink(missing_ok=True)
        except (OSError, ValueError):
            pass  # unreadable, or another process has just removed it
        return None, 0.0


def is_valid(entry: Entry) -> bool:
    texts = (entry.fetched_digest, entry.fetched_from, entry.etag)
    return (
        isinstance(entry.label, str)
        and isinstance(entry.digest, str)
        and re.fullmatch(DIGEST, entry.digest) is not None
        and type(entry.size) is int
        and isinstance(entry.checked, int | float)
        and isinstance(entry.config, dict | None)
        and all(isinstance(text, str | None) for text in texts)
    )


def size_and_time(path: Path) -> tuple[int, float]:
    try:
        state = path.stat()
    except OSError:  # Another process has just removed it.
        return 0, time.time()
    return state.st_size, state.st_mtime
