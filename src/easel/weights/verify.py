"""Read every byte of a model again, wherever its files are, and take what is bad out of the store."""

import shutil
from pathlib import Path
from typing import TextIO

from easel.models import Model
from easel.progress import ByteBar
from easel.weights.manifest import LOCK_NAME, LockedFile, Manifest, read_manifest, unlisted
from easel.weights.pull import algorithms, mismatch
from easel.weights.records import Records
from easel.weights.snapshots import find_mounted, is_embedded, snapshot_path
from easel.weights.store import WeightPaths, blob_path, find_blob, hash_file


def verify_model(model: Model, paths: WeightPaths, stream: TextIO) -> list[str]:
    """Return what is wrong with a model's files and what to do, each a sentence; the bar is on `stream`.

    Raises WeightsError for a lock that cannot be read, and for a mounted file of a wrong size.
    """
    manifest = read_manifest(model.folder)
    found = locate_files(model, manifest, paths)
    problems = unprovable(model, manifest, found)
    provable = [file for file in manifest.files if file.path in found and file.digest]
    with ByteBar(sum(found[file.path].stat().st_size for file in provable), stream) as bar:
        for file in provable:
            problem = verify_file(file, found[file.path], model, paths.cache, bar)
            if problem:
                Records(paths.cache).remove(found[file.path])
                problems.append(f"{file.path} {problem}")
    return problems + verify_snapshot(snapshot_path(paths.cache, model.name, manifest), manifest, paths.cache)


def locate_files(model: Model, manifest: Manifest, paths: WeightPaths) -> dict[str, Path]:
    """Return where the files are that are here, by their paths: as `ensure_snapshot` would find them."""
    found = {file.path: model.folder / file.path for file in manifest.files if not file.source}
    found |= {file.path: blob_path(paths.cache, file.digest) for file in manifest.files if file.source and file.digest}
    if not is_embedded(manifest):
        found |= find_mounted(model.name, manifest, paths, log=lambda line: None)
    return {path: place for path, place in found.items() if place.is_file()}


def unprovable(model: Model, manifest: Manifest, found: dict[str, Path]) -> list[str]:
    """Return what need not be read to be known as wrong."""
    problems = []
    if is_embedded(manifest):
        problems += [
            f"{problem} in {LOCK_NAME}: remove it from {model.folder}." for problem in unlisted(manifest, model.folder)
        ]
    unpinned = [file.path for file in manifest.files if file.digest is None]
    if unpinned:
        problems.append(f"Without a digest: {', '.join(unpinned)}. Run `easel weights lock {model.name}`.")
    lost = [file.path for file in manifest.files if not file.source and file.path not in found]
    if lost:
        problems.append(f"Missing: {', '.join(lost)}. Restore it in {model.folder} from the repository.")
    missing = [file.path for file in manifest.files if file.source and file.digest and file.path not in found]
    if missing:
        problems.append(f"Missing: {', '.join(missing)}. Run `easel weights pull {model.name}`.")
    return problems


def verify_file(file: LockedFile, path: Path, model: Model, cache: Path, bar: ByteBar) -> str | None:
    """Return what is wrong with a file that is here, and what to do: continues a sentence that begins with its path."""
    blob = blob_path(cache, file.blob_name)
    try:
        problem = mismatch(file, path.stat().st_size, hash_file(path, algorithms(file), bar.advance))
    except OSError as error:
        return f"cannot be read in {path} ({error.strerror})."
    if problem is None:
        return None
    if path == blob:
        return f"{problem}. {remove_bad(blob)} `easel weights pull {model.name}` fetches it anew."
    return f"{problem}. Replace {path}." if file.source else f"{problem}. Restore {path} from the repository."


def remove_bad(blob: Path) -> str:
    """Take a blob out of the store; a file of the Hub's cache is not Easel's to remove."""
    file = blob.resolve()
    is_ours = file.parent == blob.parent.resolve()
    try:
        if is_ours:
            file.unlink()
        blob.unlink(missing_ok=True)  # the link, where it was one
    except OSError as error:
        return f"{blob} cannot be removed ({error.strerror}): do that, then"
    return "It is removed;" if is_ours else f"It is {file} of the Hub's cache, which stays as it is;"


def verify_snapshot(folder: Path, manifest: Manifest, cache: Path) -> list[str]:
    """Remove a stored folder whose links lead elsewhere or whose own files changed; the next start makes one anew."""
    if not folder.is_dir():
        return []
    for file in manifest.files:
        path = folder / file.path
        same = path.exists() and (
            path.resolve() == blob_path(cache, file.blob_name).resolve()
            if file.source
            else hash_file(path, {"sha256"}, lambda count: None)["sha256"] == file.digest
        )
        if not same and (file.source is None or find_blob(cache, file)):
            shutil.rmtree(folder, ignore_errors=True)
            return [f"{path} is not the file that it should be. {folder} is removed, and is made anew when needed."]
    return []
