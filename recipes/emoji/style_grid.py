"""Draw prompts that are not in samples/training/style.zip, without and with the LoRA that was trained on it.

    python -m recipes.emoji.style_grid out/lora.safetensors --to docs/fine-tuning-style.webp

Three rows of eight: the model as it is, the LoRA with the words "in TOK style", the LoRA with the name alone. One
column is one name and one seed. The last line says how many of each row have the style's paper.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from easel.inference.loader import default_device, load_components
from easel.lora.adapter import load_adapter
from easel.lora.files import AdapterFile
from easel.models import load_model
from easel.weights.manifest import digest_of
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from recipes.emoji.evaluate import grid
from recipes.emoji.lora_quality import draw
from recipes.emoji.style import PAPER

# None is in the set; the second four are not among the prompts that emoji's model.yaml preserves either.
NAMES = ["panda", "pizza", "a lion", "cactus", "a banana", "an owl", "a teddy bear", "a bus"]
CORNER, NEAR = 6, 40.0  # pixels of a side; of 255, root mean square over the three colours


def papers(images: np.ndarray) -> int:
    """How many images (N, H, W, 3) have the style's dark blue in all four corners."""
    corners = np.stack(
        [images[:, rows, columns].mean(axis=(1, 2)) for rows in EDGES for columns in EDGES], axis=1
    )  # (N, 4, 3)
    return int((np.sqrt(((corners - PAPER) ** 2).mean(axis=-1)) < NEAR).all(axis=1).sum())


EDGES = (slice(0, CORNER), slice(-CORNER, None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora", type=Path)
    parser.add_argument("--to", type=Path, required=True, help="file of the grid")
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"))
    options = parser.parse_args()
    model = load_model(options.weights)
    snapshot = ensure_snapshot(model, WeightPaths.from_environ(os.environ), log=print)
    components = load_components(model, start_reading(snapshot), default_device())
    file = AdapterFile(options.lora, digest_of(options.lora), None, options.lora.name)
    lora = [(load_adapter(file, components.transformer), 1.0)]
    styled = [f"{name} in TOK style" for name in NAMES]
    rows = {"before": draw(components, NAMES, []), "styled": draw(components, styled, lora)}
    rows["plain"] = draw(components, NAMES, lora)
    grid(np.concatenate(list(rows.values()))).save(options.to, quality=90)
    print(json.dumps({"of": len(NAMES), **{name: papers(images) for name, images in rows.items()}}))


if __name__ == "__main__":
    main()
