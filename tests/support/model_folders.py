"""Whole models as folders, small, with their files wherever a test wants them."""

import hashlib
import json
import shutil
from pathlib import Path

from easel.models import Model, load_model

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def entry(path: str, data: bytes, source: str | None, **changes: object) -> dict[str, object]:
    """One file of a lock, pinned by size and SHA-256 unless `changes` say otherwise."""
    return {"path": path, "size": len(data), "digest": digest(data), "source": source, **changes}


def write_model(
    root: Path, name: str, entries: list[dict[str, object]], beside: dict[str, bytes] | None = None
) -> Path:
    """The folder `root/weights/name`: model.yaml, weights.lock, and the files `beside` it, which it names too."""
    folder = root / "weights" / name
    folder.mkdir(parents=True)
    settings = (WEIGHTS / "emoji" / "model.yaml").read_text(encoding="utf-8")
    (folder / "model.yaml").write_text(settings.replace("name: emoji", f"name: {name}"), encoding="utf-8")
    shutil.copy(WEIGHTS.parent / "predict.py", root)  # what --root is known by
    for path, data in (beside or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    write_lock(folder, [*entries, *(entry(path, data, None) for path, data in (beside or {}).items())])
    return folder


def write_lock(folder: Path, entries: list[dict[str, object]]) -> None:
    (folder / "weights.lock").write_text(json.dumps({"files": entries}), encoding="utf-8")


def local_model(root: Path, files: dict[str, bytes], name: str = "tiny", **changes: object) -> Model:
    """A model whose files have `file:` sources below root/origin, and one file beside its lock."""
    for path, data in files.items():
        origin = root / "origin" / path
        origin.parent.mkdir(parents=True, exist_ok=True)
        origin.write_bytes(data)
    entries = [entry(path, data, f"file:{root}/origin/{path}", **changes) for path, data in files.items()]
    return load_model(write_model(root, name, entries, {"model_index.json": b'{"_class_name": "Tiny"}'}))
