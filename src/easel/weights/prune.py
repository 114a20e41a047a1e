"""Remove from the store what no lock names: blobs, unfinished downloads, snapshots. LoRAs and all else stay."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from easel.files import disk_errors
from easel.weights.manifest import Manifest
from easel.weights.snapshots import snapshot_path
from easel.weights.store import blob_path, bytes_on_disk, is_busy

ABANDONED_S = 3600.0  # An unfinished snapshot this old is of a process that died: it takes milliseconds.


@dataclass(frozen=True)
class Leftover:
    path: Path
    size: int  # bytes that go with it: none for a link to the Hub's cache
    busy: bool  # some process fetches it at the moment


def find_leftovers(cache: Path, manifests: Mapping[str, Manifest], model: str | None = None) -> list[Leftover]:
    """Return what may go. `manifests`: of all models of this repository, by name.

    Without a model that is all that no lock names; with one, all of that model that no other one shares.
    """
    if model is None:
        named = set().union(*(blob_names(cache, one) for one in manifests.values()))
        blobs = [path for path in entries(cache / "blobs") if not is_needed(path, named)]
        snapshots = [path for path in snapshots_of(cache, "*") if not is_current(path, cache, manifests)]
    else:
        others = (one for name, one in manifests.items() if name != model)
        gone = blob_names(cache, manifests[model]).difference(*(blob_names(cache, one) for one in others))
        blobs = [path for path in entries(cache / "blobs") if base_name(path) in gone]
        snapshots = snapshots_of(cache, model)
    return [
        *(Leftover(path, bytes_on_disk(path), is_busy(cache, path.with_name(base_name(path)))) for path in blobs),
        *(Leftover(path, folder_size(path), False) for path in snapshots),
    ]


def remove_leftover(leftover: Leftover) -> None:
    """Remove it. Raises ResourceError when the disk does not let go of it."""
    with disk_errors(leftover.path):
        if leftover.path.is_dir() and not leftover.path.is_symlink():
            shutil.rmtree(leftover.path)
        else:
            leftover.path.unlink(missing_ok=True)  # of a link only the link


def blob_names(cache: Path, manifest: Manifest) -> set[str]:
    """Return the names of the blobs of a model: of a file that is pinned by MD5 both, the link's and the file's."""
    names = set()
    for file in manifest.files:
        if file.source and file.digest:
            blob = blob_path(cache, file.digest)
            names.add(blob.name)
            if blob.is_symlink():
                names.add(blob.readlink().name)
    return names


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def base_name(path: Path) -> str:
    """Return the name of the blob that a file in blobs/ is, or is to become."""
    return path.name.partition(".")[0]


def is_needed(path: Path, named: set[str]) -> bool:
    """Return whether it is a blob that some lock names, or the beginning of one that is not there yet."""
    base = base_name(path)
    return base in named and (path.name == base or not path.with_name(base).exists())


def snapshots_of(cache: Path, model: str) -> list[Path]:
    return sorted(path for path in (cache / "snapshots").glob(f"{model}/*") if path.is_dir())


def is_current(snapshot: Path, cache: Path, manifests: Mapping[str, Manifest]) -> bool:
    manifest = manifests.get(snapshot.parent.name)
    if snapshot.name.startswith("."):
        return time.time() - snapshot.stat().st_mtime < ABANDONED_S
    return manifest is not None and snapshot == snapshot_path(cache, snapshot.parent.name, manifest)


def folder_size(folder: Path) -> int:
    return sum(bytes_on_disk(path) for path in folder.rglob("*") if not path.is_dir())
