"""Which files outside the store were verified before, so that a start need not hash them again.

CACHE/verified/HEX.json is for one file, by the SHA-256 of its real path: {"path", "size", "mtime_ns", "digest"}. A file
that changed on the disk is hashed again when its size or modification time is another one. One whose bytes changed
under both is found by `easel weights verify`, which trusts no record. Where none can be written, each start hashes.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easel.files import write_atomically
from easel.weights.manifest import LockedFile


@dataclass(frozen=True)
class Records:
    """The records in a cache folder."""

    cache: Path

    @property
    def folder(self) -> Path:
        return self.cache / "verified"

    def entry(self, file: LockedFile, path: Path) -> dict[str, Any]:
        """Return what a record of `file` at `path` says, if it is verified as it is now. Raises OSError."""
        real = path.resolve()
        status = real.stat()
        return {
            "path": str(real),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "digest": file.digest,
        }

    def has(self, entry: dict[str, Any]) -> bool:
        """Return whether there is just this record."""
        try:
            return bool(json.loads(self._place(entry).read_bytes()) == entry)
        except (OSError, ValueError):
            return False

    def add(self, entry: dict[str, Any]) -> None:
        """Keep a record, where it can be written."""
        place = self._place(entry)
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(place, sync=False) as stream:
                stream.write(json.dumps(entry).encode())

    def remove(self, path: Path) -> None:
        """Forget a file that turned out to be another one."""
        with suppress(OSError):
            self._place({"path": str(path.resolve())}).unlink(missing_ok=True)

    def _place(self, entry: dict[str, Any]) -> Path:
        return self.folder / f"{hashlib.sha256(entry['path'].encode()).hexdigest()[:32]}.json"
