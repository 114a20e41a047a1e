"""From a model to a folder with all its files, wherever they are: beside its lock, mounted, in the store, far away."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from easel.errors import ResourceError, WeightsError
from easel.files import disk_errors
from easel.models import Model
from easel.weights.manifest import LOCK_NAME, LockedFile, Manifest, digest_problem, file_problem, read_manifest
from easel.weights.pull import pull_files
from easel.weights.records import Records
from easel.weights.sources import HubFile
from easel.weights.store import READ_ONLY, Log, WeightPaths, blob_path, find_blob, has_size


@dataclass(frozen=True)
class Snapshot:
    """A folder in diffusers' layout with every file of the lock at its path, and no other.

    `unverified` is None where this machine's store has hashed all of them. Otherwise the reader of the files checks
    the digests, but for what these records say of an earlier start.
    """

    folder: Path
    manifest: Manifest
    unverified: Records | None


def ensure_snapshot(model: Model, paths: WeightPaths, *, log: Log, progress: TextIO | None = None) -> Snapshot:
    """Return the model's files, fetched into the store as far as they are missing, with a bar on `progress` (standard
    error).

    Raises FetchError (a file cannot be had), WeightsError (one is not what the lock says, or the lock does not pin it)
    and ResourceError (no room on the disk).
    """
    manifest = read_manifest(model.folder)
    if is_embedded(manifest):
        return Snapshot(model.folder, manifest, Records(paths.cache))
    check_pinned(model.name, manifest)
    mounted = find_mounted(model.name, manifest, paths, log)
    wanted = [file for file in manifest.files if file.source and file.path not in mounted]
    pull_files(wanted, model.folder, paths.cache, log, progress or sys.stderr)
    if mounted:
        files = mounted | found_blobs(paths.cache, wanted)
        return Snapshot(temporary_snapshot(model, manifest, files), manifest, Records(paths.cache))
    return Snapshot(stored_snapshot(model, manifest, paths.cache), manifest, None)


def is_embedded(manifest: Manifest) -> bool:
    """Return whether all files lie beside the lock."""
    return all(file.source is None for file in manifest.files)


def check_pinned(name: str, manifest: Manifest) -> None:
    unpinned = [file.path for file in manifest.files if file.digest is None]
    if unpinned:
        raise WeightsError(
            f"{LOCK_NAME} of {name} has no digest for {', '.join(unpinned)}, so they cannot be verified. The locks in "
            "Easel's repository lack none: restore this one, or, for a model of your own, run "
            f"`easel weights lock {name}` with a network and commit the {LOCK_NAME} that it writes."
        )


def find_mounted(name: str, manifest: Manifest, paths: WeightPaths, log: Log) -> dict[str, Path]:
    """Files of the folder EASEL_WEIGHTS_DIR, by their path in the lock. A wrong size there is a WeightsError."""
    folder = paths.mounted
    if folder is None:
        return {}
    if not folder.is_dir():
        log(f"weights: there is no folder {folder} (EASEL_WEIGHTS_DIR); looking in {paths.cache}")
        return {}
    wanted = [file for file in manifest.files if file.source]
    found = {file.path: path for file in wanted if (path := find_in_folder(folder, name, file))}
    missing = [file.path for file in wanted if file.path not in found]
    if found:
        log(f"weights: {len(found)} of {len(wanted)} files are used in place in {folder}")
    if missing:
        names = ", ".join(missing) if found else "any of the files"
        log(f"weights: {folder} does not have {names}; looking in {paths.cache}")
    return found


def found_blobs(cache: Path, files: Iterable[LockedFile]) -> dict[str, Path]:
    """Return the blobs of those files that have one, by the files' paths."""
    return {file.path: blob for file in files if (blob := find_blob(cache, file))}


def find_in_folder(folder: Path, name: str, file: LockedFile) -> Path | None:
    """Return where a mounted folder has a file: at its path, below the model's name, or as in its Hub repository."""
    candidates = [folder / file.path, folder / name / file.path]
    source = file.parsed_source
    if isinstance(source, HubFile):
        candidates.append(folder / source.filename)
    present = [path for path in candidates if path.is_file()]
    for path in present:
        if has_size(path, file.size):
            return path
    if present:
        raise WeightsError(
            f"{present[0]} has {present[0].stat().st_size} bytes instead of the {file.size} of {name}'s {LOCK_NAME}: "
            "replace it by the right file, or remove it so that it is fetched."
        )
    return None


def snapshot_path(cache: Path, model: str, manifest: Manifest) -> Path:
    return cache / "snapshots" / model / manifest.digest.partition(":")[2][:16]


def is_whole(folder: Path, manifest: Manifest) -> bool:
    return all(has_size(folder / file.path, file.size) for file in manifest.files)


def stored_snapshot(model: Model, manifest: Manifest, cache: Path) -> Path:
    """Return the model's folder of relative links into the store; a temporary one where the store is read-only."""
    folder = snapshot_path(cache, model.name, manifest)
    if is_whole(folder, manifest):
        return folder
    unfinished = folder.with_name(f".{folder.name}-{uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
    except OSError:
        files = found_blobs(cache, [file for file in manifest.files if file.source])
        return temporary_snapshot(model, manifest, files)
    try:
        blobs = {file.path: blob_path(cache, file.blob_name) for file in manifest.files if file.source}
        with disk_errors(folder):
            fill_snapshot(unfinished, model, manifest, blobs, folder)
            move_into_place(unfinished, folder, manifest)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def move_into_place(unfinished: Path, folder: Path, manifest: Manifest) -> None:
    try:
        unfinished.rename(folder)
    except OSError:  # There is one: of another process just now, or a broken one.
        if is_whole(folder, manifest):
            return
        broken = folder.with_name(f".{folder.name}-{uuid4().hex}")
        folder.rename(broken)
        unfinished.rename(folder)
        shutil.rmtree(broken, ignore_errors=True)


def temporary_snapshot(model: Model, manifest: Manifest, files: Mapping[str, Path]) -> Path:
    """Return a folder as a stored one, with absolute links, until this process ends."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"easel-{model.name}-"))
    except OSError as error:
        raise ResourceError(
            f"A folder of links to the files of {model.name} cannot be made ({error.strerror}): set TMPDIR to a folder "
            "that can be written."
        ) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    fill_snapshot(folder, model, manifest, files, None)
    return folder


def fill_snapshot(
    folder: Path, model: Model, manifest: Manifest, files: Mapping[str, Path], final: Path | None
) -> None:
    """Link `files` at their paths, as seen from `final` if that is given; copy those that lie beside the lock."""
    for file in manifest.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.source is None:
            copy_embedded(model, file, folder)
        elif final is None:
            path.symlink_to(files[file.path])
        else:
            path.symlink_to(os.path.relpath(files[file.path], (final / file.path).parent))


def copy_embedded(model: Model, file: LockedFile, folder: Path) -> None:
    """Such a file is small, and a link would end when the repository is moved."""
    source, path = model.folder / file.path, folder / file.path
    if source.is_file():
        shutil.copyfile(source, path)
    problem = file_problem(file, folder) or digest_problem(file, folder)
    if problem:
        raise WeightsError(f"{source}: {problem}. Restore it from the repository.")
    path.chmod(READ_ONLY)
