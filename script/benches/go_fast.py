"""go_fast on the emoji model: the time that it saves, and how near its images come to the exact ones."""

import io
import statistics
from typing import Any

from benches.emoji import REPOSITORY

STEPS = 20
PROMPTS = 50


def bench_go_fast(_rounds: int) -> dict[str, float]:
    """Each prompt is one round: the exact image and the fast one of the same seed, interleaved."""
    from tqdm import tqdm

    from easel.inference.loader import load_components
    from easel.models import load_model
    from easel.publish.quality import psnr
    from easel.weights.reading import start_reading
    from easel.weights.snapshots import ensure_snapshot
    from easel.weights.store import WeightPaths

    model = load_model(REPOSITORY / "weights" / "emoji")
    components = load_components(
        model, start_reading(ensure_snapshot(model, WeightPaths.from_environ({}), log=print)), "cpu"
    )
    draw(components, "warm-up", 0, go_fast=True)
    ratios, decibels = [], []
    for seed, prompt in enumerate(tqdm(prompts(), desc="exact / fast", leave=False)):
        exact, exact_s = draw(components, prompt, seed, go_fast=False)
        fast, fast_s = draw(components, prompt, seed, go_fast=True)
        ratios.append(fast_s / exact_s)
        decibels.append(psnr(exact, fast))
    return {
        "go_fast_saved": 1 - statistics.median(ratios),
        "go_fast_saved_wanted": 0.25,
        "go_fast_psnr_mean_db": statistics.mean(decibels),
        "go_fast_psnr_10th_percentile_db": statistics.quantiles(decibels, n=10)[0],
        "go_fast_psnr_min_db": min(decibels),
        "go_fast_psnr_wanted_db": 28.0,
        "go_fast_below_wanted": sum(value < 28 for value in decibels),
    }


def prompts() -> list[str]:
    """What the recipe knows: the names that its synonyms mean, filled up with the prompts of the grid."""
    import yaml

    recipe = REPOSITORY / "recipes" / "emoji"
    names = yaml.safe_load((recipe / "synonyms.yaml").read_text(encoding="utf-8")).values()
    grid = (recipe / "grid.txt").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys([*names, *grid]))[:PROMPTS]


def draw(components: Any, prompt: str, seed: int, go_fast: bool) -> tuple[Any, float]:
    """The image, and the seconds of its denoising."""
    from easel.inference.pipeline import Timings, run_plan
    from easel.plan import plan_request
    from easel.request import Request

    timings = Timings()
    request = Request(prompt, seed=seed, num_inference_steps=STEPS, go_fast=go_fast)
    (image,) = run_plan(plan_request(request, components.model), components, timings, log=io.StringIO())
    return image, timings.seconds["denoise"]
