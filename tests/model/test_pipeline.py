"""What a request does to the model, and what it must not do: seeds, state, passes, cancellation, progress."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from coglet import CancelationException
from PIL import Image

from easel.inference.loader import Components
from easel.inference.pipeline import Timings, run_plan
from easel.plan import plan_request
from easel.request import Request
from easel.sizes import ASPECT_RATIOS

# What holds for any image is seen on a small one.
SMALL = {"width": 64, "height": 64, "num_inference_steps": 3}
B_REQUESTS = {
    "guidance": {"guidance_scale": 4.0, "negative_prompt": "green"},
    "other steps": {"num_inference_steps": 4},
    "other size": {"width": 80, "height": 96},
    "several images": {"num_outputs": 2},
}


def run(components: Components, request: Request, log: io.TextIOBase | None = None) -> list[Image.Image]:
    plan = plan_request(request, components.model)
    return list(run_plan(plan, components, Timings(), log=log or io.StringIO()))


@contextmanager
def count_passes(components: Components) -> Iterator[list[int]]:
    """Appends the number of images of every forward of the transformer."""
    passes: list[int] = []
    hook = components.modules["transformer"].register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    try:
        yield passes
    finally:
        hook.remove()


def test_the_image_shows_what_the_prompt_says(emoji):
    def mean_colour(prompt: str) -> np.ndarray:
        middle = np.asarray(run(emoji, Request(prompt, seed=1))[0], dtype=float)[32:96, 32:96]
        return middle.mean(axis=(0, 1))

    red, green, _ = mean_colour("a red apple")
    assert red > green + 50
    red, green, _ = mean_colour("a frog")
    assert green > red + 20


@pytest.mark.parametrize("b", B_REQUESTS.values(), ids=B_REQUESTS)
def test_a_request_between_two_equal_ones_changes_nothing(pixels, b):
    first = pixels("a red apple", seed=5, **SMALL)
    other = pixels("a blue car", seed=9, **{**SMALL, **b})
    assert pixels("a red apple", seed=5, **SMALL) == first
    assert other[0] != first[0]


@pytest.mark.parametrize("guidance_scale", [0.0, 2.0])
def test_image_k_is_the_only_image_of_its_own_seed(pixels, guidance_scale):
    inputs = {**SMALL, "guidance_scale": guidance_scale}
    together = pixels("robot", seed=2**32 - 2, num_outputs=4, **inputs)
    alone = [pixels("robot", seed=seed, **inputs)[0] for seed in (2**32 - 2, 2**32 - 1, 0, 1)]
    assert together == alone
    assert len(set(together)) == 4


def test_seed_0_is_a_seed_and_no_seed_is_random(pixels):
    assert pixels("robot", seed=0, **SMALL) == pixels("robot", seed=0, **SMALL)
    assert pixels("robot", **SMALL) != pixels("robot", **SMALL)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_transformer_runs_once_a_step_without_guidance_and_twice_with_any(components, steps):
    for guidance_scale, images_in_a_pass in ((0.0, 1), (0.5, 2), (5.0, 2)):
        inputs = {**SMALL, "num_inference_steps": steps, "num_outputs": 2}
        request = Request("a dog", guidance_scale=guidance_scale, **inputs)
        with count_passes(components) as passes:
            run(components, request)
        assert passes == [images_in_a_pass] * (2 * steps)


def test_a_negative_prompt_counts_with_guidance_only(pixels):
    inputs = {**SMALL, "seed": 1, "guidance_scale": 0.0}
    assert pixels("a house", **inputs, negative_prompt="red") == pixels("a house", **inputs)
    inputs["guidance_scale"] = 2.0
    assert pixels("a house", **inputs, negative_prompt="red") != pixels("a house", **inputs)


@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_every_aspect_ratio_makes_a_picture_of_the_planned_size(components, aspect_ratio):
    request = Request("a dog", aspect_ratio=aspect_ratio, num_inference_steps=1)
    plan = plan_request(request, components.model)
    assert run(components, request)[0].size == (plan.width, plan.height)


@pytest.mark.parametrize("side", [64, 192])
def test_the_smallest_and_the_largest_area_work(components, side):
    assert run(components, Request("a dog", width=side, height=side, num_inference_steps=1))[0].size == (side, side)


@pytest.mark.parametrize("interruption", [CancelationException, KeyboardInterrupt, RuntimeError])
def test_an_interruption_in_mid_denoising_ends_at_once_and_leaves_no_trace(components, pixels, interruption):
    before = pixels("a red apple", seed=5, **SMALL)
    with count_passes(components) as passes:

        def interrupt(*_: object) -> None:
            if len(passes) == 3:
                raise interruption("stop")

        hook = components.modules["transformer"].register_forward_hook(interrupt)
        try:
            with pytest.raises(interruption):
                run(components, Request("a dog", **{**SMALL, "num_inference_steps": 20}, num_outputs=4))
        finally:
            hook.remove()
    assert len(passes) == 3
    assert pixels("a red apple", seed=5, **SMALL) == before


def test_closing_the_run_after_the_first_image_makes_no_second(components):
    plan = plan_request(Request("a dog", **{**SMALL, "num_inference_steps": 2}, num_outputs=4), components.model)
    with count_passes(components) as passes:
        images = run_plan(plan, components, Timings(), log=io.StringIO())
        next(images)
        images.close()
    assert len(passes) == 2


def test_replicates_client_reads_the_progress_from_the_log(components):
    from replicate.prediction import Prediction

    log = io.StringIO()
    run(components, Request("a dog", **{**SMALL, "num_inference_steps": 4}, num_outputs=2), log)
    progress = Prediction.Progress.parse(log.getvalue())
    assert (progress.percentage, progress.current, progress.total) == (1.0, 8, 8)


def test_every_phase_is_timed(components):
    timings = Timings()
    plan = plan_request(Request("a dog", num_inference_steps=1), components.model)
    list(run_plan(plan, components, timings, log=io.StringIO()))
    assert list(timings.seconds) == ["encode_prompt", "denoise", "decode"]
    assert all(seconds > 0 for seconds in timings.seconds.values())


def test_words_beyond_the_token_limit_are_ignored_and_the_log_says_so(components, pixels):
    log = io.StringIO()
    run(components, Request("apple " * 100, num_inference_steps=1), log)
    assert "warning: prompt has 102 tokens; the last 38 are ignored." in log.getvalue()
    assert pixels("apple " * 100, seed=1, **SMALL) == pixels("apple " * 200, seed=1, **SMALL)


@pytest.mark.parametrize("prompt", ["🍎", "\u202eelppa", "кот", "a\nb", "x" * 5000, "!"])
def test_unusual_prompts_make_a_picture(pixels, prompt):
    assert pixels(prompt, seed=1, **{**SMALL, "num_inference_steps": 1})
