"""What a LoRA that `easel train` made of a set of images does to the model: does it draw them, and what does it cost?

    python -m recipes.emoji.lora_quality out/lora.safetensors samples/training/tok.zip [--grid docs/fine-tuning.webp]

Distances are those of evaluate.py: root mean square of 16 x 16 average-pooled pixels. Of 16 images of the trigger word,
how many are nearer to the nearest image of the set than to any training icon; of 50 icons' names that the training did
not preserve, for how many the icon is among the five nearest, without the LoRA and with it. The last line is JSON.
"""

import argparse
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from easel.images.input import fit_image
from easel.inference.loader import Components, default_device, load_components
from easel.inference.pipeline import Timings, run_plan
from easel.lora.adapter import Adapter, load_adapter
from easel.lora.files import AdapterFile
from easel.models import load_model
from easel.plan import plan_request
from easel.request import Request
from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from easel.training.measure import pool
from easel.weights.manifest import digest_of
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from recipes.emoji import data
from recipes.emoji.evaluate import grid, ranks

SEEDS, NAMES, NAMES_SEED = 16, 50, 2027


def draw(components: Components, prompts: Sequence[str], adapters: Sequence[tuple[Adapter, float]]) -> np.ndarray:
    """One square image of each prompt, (N, 128, 128, 3) uint8; image i has the seed i."""
    images = []
    for seed, prompt in enumerate(tqdm(prompts, desc="drawing", mininterval=5)):
        plan = plan_request(Request(prompt, seed=seed), components.model)
        images += list(run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO()))
    return np.stack([np.asarray(image) for image in images])


def nearest(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distance of each image to the nearest of others, 0 to 255."""
    pooled, targets = pool(images), pool(others)
    return np.array([np.sqrt(((targets - row) ** 2).mean(axis=1)).min() for row in pooled])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--trigger-word", default="TOK")
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"))
    parser.add_argument("--grid", type=Path, help="write the set, and the trigger word without and with the LoRA")
    options = parser.parse_args()

    icons, drawn = data.load_dataset()
    examples = read_dataset(options.images, Captions(options.trigger_word)).examples
    wanted = np.stack([np.asarray(fit_image(example.image, *data.SQUARE)) for example in examples])
    model = load_model(options.weights)
    snapshot = ensure_snapshot(model, WeightPaths.from_environ(os.environ), log=print)
    components = load_components(model, start_reading(snapshot), default_device())
    file = AdapterFile(options.lora, digest_of(options.lora), None, options.lora.name)
    lora = [(load_adapter(file, components.transformer), 1.0)]

    words = [options.trigger_word] * SEEDS
    before, after = draw(components, words, []), draw(components, words, lora)
    to_set, to_icons = nearest(after, wanted), nearest(after, drawn)
    preserved = " ".join((model.training or {})["preserve"])
    unseen = [i for i, icon in enumerate(icons) if icon.name not in preserved]
    chosen = np.random.default_rng(NAMES_SEED).choice(unseen, NAMES, replace=False).tolist()
    names = [icons[i].name for i in chosen]
    top5 = [float((ranks(draw(components, names, one), drawn, chosen) < 5).mean()) for one in ([], lora)]
    if options.grid:
        grid(np.concatenate((wanted[:8], before[:8], after))).save(options.grid, quality=90)
    results = {
        "nearer_to_the_set": int((to_set < to_icons).sum()),
        "of": SEEDS,
        "distance_to_the_set": round(float(to_set.mean()), 1),
        "distance_to_the_set_before": round(float(nearest(before, wanted).mean()), 1),
        "distance_to_the_icons": round(float(to_icons.mean()), 1),
        "distance_of_the_set_to_the_icons": round(float(nearest(wanted, drawn).mean()), 1),
        "names": NAMES,
        "top5_before": top5[0],
        "top5_after": top5[1],
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
