"""What state the weights on this machine are in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easel.errors import WeightsError
from easel.models import Model
from easel.weights.manifest import Manifest, read_manifest
from easel.weights.pull import Missing, find_missing, readable
from easel.weights.snapshots import find_mounted, is_embedded
from easel.weights.store import WeightPaths, bytes_done, find_blob


@dataclass(frozen=True)
class ModelStatus:
    """A model's row in `easel weights status`. `size`: bytes, as far as the lock knows them."""

    name: str
    files: int
    size: int
    state: str
    place: Path


def status_of(model: Model, paths: WeightPaths) -> ModelStatus:
    manifest = read_manifest(model.folder)
    state, place = "embedded", model.folder
    if not is_embedded(manifest):
        state, place = describe_remote(model, manifest, paths)
    return ModelStatus(model.name, len(manifest.files), sum(file.size or 0 for file in manifest.files), state, place)


def describe_remote(model: Model, manifest: Manifest, paths: WeightPaths) -> tuple[str, Path]:
    try:
        mounted = find_mounted(model.name, manifest, paths, log=lambda line: None)
    except WeightsError as error:
        return str(error), paths.mounted or paths.cache
    sourced = [file for file in manifest.files if file.source]
    missing = [
        find_missing(file, model.folder, paths.cache)
        for file in sourced
        if file.path not in mounted and not find_blob(paths.cache, file)
    ]
    if missing:
        return f"{len(missing)} of {len(sourced)} files missing, {describe_missing(model.name, missing)}", paths.cache
    if len(mounted) == len(sourced):
        return "mounted", paths.mounted or paths.cache
    return f"in the store, {len(mounted)} of {len(sourced)} mounted" if mounted else "in the store", paths.cache


def describe_missing(name: str, missing: Sequence[Missing]) -> str:
    """Return what there is to fetch, what has come of it, and what is to be done before."""
    text = f"{readable(sum(one.to_fetch for one in missing))} to fetch"
    unknown = sum(one.file.size is None and not one.in_hub_cache for one in missing)
    begun = sum(bytes_done(one.blob) for one in missing)
    unpinned = sum(one.file.digest is None for one in missing)
    text += f" and {unknown} of unknown size" if unknown else ""
    text += f"; unfinished download of {readable(begun)}" if begun else ""
    return text + (f"; {unpinned} not pinned: `easel weights lock {name}`" if unpinned else "")
