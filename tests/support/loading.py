"""A model's folder as components, in the steps of predict.py's setup."""

import tempfile
from pathlib import Path

from easel.inference.loader import DEFAULTS, Components, load_components
from easel.inference.options import Options
from easel.models import load_model
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths


def load_folder(
    folder: Path,
    device: str = "cpu",
    cache: Path | None = None,
    mounted: Path | None = None,
    options: Options = DEFAULTS,
) -> Components:
    """`mounted` matters only for a model whose files lie elsewhere. Without a `cache` no record is kept."""
    model = load_model(folder)
    with tempfile.TemporaryDirectory() as forgotten:
        paths = WeightPaths(cache or Path(forgotten), mounted)
        snapshot = ensure_snapshot(model, paths, log=lambda line: None)
        return load_components(model, start_reading(snapshot), device, options)
