"""A model's folder as components, in the steps of predict.py's setup."""

from pathlib import Path

from easel.inference.loader import Components, load_components
from easel.models import load_model
from easel.weights.reading import start_reading
from easel.weights.snapshots import obtain
from easel.weights.store import Places


def load_folder(
    folder: Path, device: str = "cpu", cache: Path = Path("nowhere"), mounted: Path | None = None
) -> Components:
    """`cache` and `mounted` matter only for a model whose files lie elsewhere."""
    model = load_model(folder)
    snapshot = obtain(model, Places(cache, mounted), log=lambda line: None)
    return load_components(model, start_reading(snapshot), device)
