"""A model's README and examples from a repository: `samples/requests/*.json` and the images made of them."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from easel.api.outputs import FILE, Outputs
from easel.api.schemas import properties
from easel.api.tables import Prediction
from easel.models import DEFAULT_MODEL
from easel.samples import read_samples


def is_of_repository(root: Path, schema: dict[str, Any]) -> bool:
    """Return whether a model has the inputs of the one in this repository, by its `openapi.json`; blocking."""
    try:
        own = json.loads((root / "openapi.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return properties(schema).keys() == properties(own).keys()


def read_readme(root: Path, name: str) -> str | None:
    """Of the model's own folder, otherwise of the repository."""
    for path in (root / "weights" / name / "README.md", root / "README.md"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def read_examples(root: Path, model: str, version: str, outputs: Outputs, base: str, at: float) -> list[Prediction]:
    """Predictions with the files of the samples, each with the same id in every start; blocking.

    The samples are images of the default model: another one of the repository's has none.
    """
    found: list[Prediction] = []
    name = model.partition("/")[2]
    if name != DEFAULT_MODEL and (root / "weights" / name).is_dir():
        return found
    if not any((root / "samples" / "requests").glob("*.json")):
        return found
    samples = read_samples(root / "samples" / "requests")
    # The plainest first: it is the model's default example, and its image the cover.
    for k, sample in enumerate(sorted(samples, key=lambda sample: (sample.path.stat().st_size, sample.path))):
        images = sorted((root / "samples" / "outputs").glob(f"{sample.name}.*"))
        if not images:
            continue
        digest = hashlib.sha256(f"{model} {sample.name}".encode()).digest()
        identity = base64.b32hexencode(digest).decode().lower()[:26]
        for image in images:
            outputs.put(identity, image.name, image.read_bytes())

        def publish(file: Path, identity: str = identity) -> str:
            outputs.put(identity, file.name, file.read_bytes())
            return f"{base}/delivery/{identity}/{file.name}"

        found.append(
            Prediction(
                id=identity,
                account="",
                model=model,
                version=version,
                status="succeeded",
                input=sample.with_files(publish),
                output=[{FILE: image.name} for image in images],
                logs="",
                metrics={},
                webhook_events_filter=[],
                webhook_pending=False,
                data_removed=False,
                created_at=at - k,
                completed_at=at - k,
                source="web",
            )
        )
    return found
