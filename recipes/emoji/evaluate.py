"""Does the model draw what it is asked for? Pictures are made as a user makes them, with the model's defaults.

    python -m recipes.emoji.evaluate [--weights weights/emoji] [--grid samples/grid.png]

Retrieval: the training icons nearest to a generated picture, by root mean square distance of 16 x 16 average-pooled
pixels, should be the icon that was asked for. The last line is JSON.
"""

import argparse
import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from easel.inference.loader import Components, default_device, load_components
from easel.inference.pipeline import Timings, run_plan
from easel.models import load_model
from easel.plan import plan_request
from easel.request import Request
from easel.training.measure import pool
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from recipes.emoji import data

HERE = Path(__file__).parent
NAMES, NAMES_SEED = 200, 2026
RESULTS = "evaluation.json"  # in data.WORK, for the model card


def draw(components: Components, prompts: list[str], seed: int = 0) -> np.ndarray:
    """One square picture of each prompt, (N, 128, 128, 3) uint8; picture i has the seed `seed + i`."""
    pictures = []
    for i, prompt in enumerate(tqdm(prompts, desc="drawing", mininterval=5)):
        plan = plan_request(Request(prompt, seed=seed + i), components.model)
        pictures += [np.asarray(image) for image in run_plan(plan, components, Timings(), log=io.StringIO())]
    return np.stack(pictures)


def ranks(pictures: np.ndarray, icons: np.ndarray, wanted: list[int]) -> np.ndarray:
    """For each picture, how many icons are nearer to it than the wanted one (0: it is the nearest)."""
    pooled, targets = pool(pictures), pool(icons)
    out = []
    for row, icon in zip(pooled, wanted, strict=True):
        distances = ((targets - row) ** 2).mean(axis=1)
        out.append(int((distances < distances[icon]).sum()))
    return np.array(out)


def check_synonyms(icons: list[data.Icon]) -> dict[str, str]:
    """Prompt -> name meant. Raises SystemExit if one is a caption after all, or means no trained icon."""
    synonyms = data.read_synonyms()
    captions = {text.lower() for icon in icons for text in (*icon.captions, *icon.tags, *icon.phrases)}
    names = {icon.name for icon in icons}
    wrong = [
        prompt
        for prompt, name in synonyms.items()
        if prompt.lower() in captions or name not in names or set(name.split()) & set(prompt.split())
    ]
    if wrong:
        raise SystemExit(f"synonyms.yaml: these are captions, name the icon, or mean one not trained on: {wrong}")
    return synonyms


def grid(pictures: np.ndarray, columns: int = 8) -> Image.Image:
    rows = [np.concatenate(list(pictures[i : i + columns]), axis=1) for i in range(0, len(pictures), columns)]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"))
    parser.add_argument("--grid", type=Path, help="also write a grid of the 48 prompts in grid.txt to this file")
    options = parser.parse_args()

    icons, images = data.load_dataset()
    model = load_model(options.weights)
    snapshot = ensure_snapshot(model, WeightPaths.from_environ(os.environ), log=print)
    components = load_components(model, start_reading(snapshot), default_device())
    chosen = np.random.default_rng(NAMES_SEED).choice(len(icons), NAMES, replace=False).tolist()
    of_names = ranks(draw(components, [icons[i].name for i in chosen]), images, chosen)
    synonyms = check_synonyms(icons)
    index = {icon.name: i for i, icon in enumerate(icons)}
    of_synonyms = ranks(draw(components, list(synonyms)), images, [index[name] for name in synonyms.values()])
    missed = [f"{prompt} ({rank})" for prompt, rank in zip(synonyms, of_synonyms, strict=True) if rank >= 5]
    print("synonyms missed (icons nearer than the one meant):", ", ".join(missed))
    if options.grid:
        prompts = (HERE / "grid.txt").read_text().splitlines()
        grid(draw(components, prompts, seed=1)).save(options.grid)
    results = {
        "icons": len(icons),
        "names": NAMES,
        "top1": float((of_names < 1).mean()),
        "top5": float((of_names < 5).mean()),
        "synonyms": len(synonyms),
        "synonyms_top1": float((of_synonyms < 1).mean()),
        "synonyms_top5": float((of_synonyms < 5).mean()),
        "steps": components.model.num_inference_steps,
        "guidance_scale": components.model.guidance_scale,
        "weights": components.digest,
    }
    (data.WORK / RESULTS).write_text(json.dumps(results))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
