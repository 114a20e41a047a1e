"""go_fast on the emoji model: how much is saved, how near the image comes, and that nothing of it remains."""

import io

import numpy as np
import pytest
import torch
from coglet import CancelationException
from PIL import Image, ImageDraw

from easel.inference.go_fast import FastTransformer
from easel.inference.pipeline import Timings, read_source, run_plan
from easel.request import Request
from tests.support.read_images import plan_and_images

SMALL = {"seed": 3, "width": 64, "height": 64, "num_inference_steps": 10}
FAST = SMALL | {"go_fast": True}
PSNR = 28  # decibels to the exact image, at least
EXACT_PASSES = 5  # weights/emoji/model.yaml


@pytest.fixture
def make(components):
    """Runs a request on small layers; returns its images and how often the transformer itself was called."""
    return runner(components)


@pytest.fixture
def make_emoji(emoji):
    """The same on the model as users have it."""
    return runner(emoji)


def runner(components):
    def run(prompt="a dog", adapters=(), **inputs):
        plan, *opened = plan_and_images(Request(prompt, **inputs), components.model)
        calls = []
        hook = components.modules["transformer"].register_forward_hook(lambda *_: calls.append(1))
        try:
            images = list(
                run_plan(plan, components, Timings(), read_source(plan, *opened), adapters=adapters, log=io.StringIO())
            )
        finally:
            hook.remove()
        return images, len(calls)

    return run


@pytest.fixture
def lora(emoji, lora_of):
    return lora_of(emoji)


class Polynomial(torch.nn.Module):
    """Stands for a transformer whose prediction is a polynomial in t, another one for each image of a pass."""

    def __init__(self, *coefficients: float) -> None:
        super().__init__()
        self.coefficients = coefficients
        self.calls = 0

    def forward(self, x, t, captions, return_dict):
        self.calls += 1
        value = sum(c * t**k for k, c in enumerate(self.coefficients))
        return ([(1 + k) * value[k] * torch.ones_like(one) for k, one in enumerate(x)],)


def predictions(transformer, dtype=torch.float32):
    """What 11 passes at uneven times give: (11, 2)."""
    times = torch.linspace(0, 1, 11) ** 1.5
    x = [torch.zeros(1, dtype=dtype), torch.zeros(1, dtype=dtype)]
    results = [transformer(x, t.expand(2), None, return_dict=False)[0] for t in times]
    assert all(one.dtype == dtype for result in results for one in result)
    return torch.stack([torch.cat(result) for result in results])


def psnr(a: Image.Image, b: Image.Image) -> float:
    return 10 * np.log10(255**2 / ((np.asarray(a, dtype=float) - np.asarray(b, dtype=float)) ** 2).mean())


def raw(images) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_what_changes_evenly_over_time_is_extrapolated_exactly_for_each_image_of_a_pass():
    fast = FastTransformer(Polynomial(0.5, -2.0), exact_passes=3)
    torch.testing.assert_close(predictions(fast), predictions(Polynomial(0.5, -2.0)))
    assert fast.transformer.calls == 7  # passes 3, 5, 7 and 9 of 0 to 10 are extrapolated


def test_what_bends_is_extrapolated_by_the_line_through_the_two_passes_before():
    exact, fast = (predictions(one) for one in (Polynomial(0, 0, 1), FastTransformer(Polynomial(0, 0, 1), 3)))
    t = torch.linspace(0, 1, 11) ** 1.5
    assert (fast != exact).any(dim=1).tolist() == [False] * 3 + [True, False] * 4
    torch.testing.assert_close(fast[3, 0], t[2] ** 2 + (t[3] - t[2]) * (t[2] + t[1]))
    torch.testing.assert_close(
        fast[5, 0], t[4] ** 2 + (t[5] - t[4]) * (t[4] + t[2])
    )  # 3 was extrapolated: not one of them


def test_predictions_keep_the_number_type_of_the_transformer():
    predictions(FastTransformer(Polynomial(1, 1), exact_passes=2), dtype=torch.bfloat16)


@pytest.mark.parametrize("prompt", ["red apple", "octopus", "a blue car"])
def test_two_fifths_of_20_steps_are_saved_and_the_image_hardly_differs(make_emoji, prompt):
    (exact,), all_passes = make_emoji(prompt, seed=1, num_inference_steps=20)
    (fast,), passes = make_emoji(prompt, seed=1, num_inference_steps=20, go_fast=True)
    assert (all_passes, passes) == (20, 12)
    assert fast.tobytes() != exact.tobytes()
    assert psnr(fast, exact) >= PSNR


def test_same_request_same_image_and_an_exact_one_before_and_after_is_the_same(make):
    first = raw(make(**SMALL)[0])
    fast = raw(make(**FAST)[0])
    assert fast != first
    assert raw(make(**FAST)[0]) == fast
    assert raw(make(**SMALL)[0]) == first


def test_image_k_is_the_only_image_of_its_own_seed(make):
    together = raw(make(**FAST | {"num_outputs": 3})[0])
    alone = [raw(make(**FAST | {"seed": 3 + k})[0])[0] for k in range(3)]
    assert together == alone
    assert len(set(together)) == 3


@pytest.mark.parametrize("pass_number", [1, EXACT_PASSES, EXACT_PASSES + 1])
def test_a_cancel_at_any_pass_leaves_no_trace(components, make, pass_number):
    exact, fast = raw(make(**SMALL)[0]), raw(make(**FAST)[0])
    passes = []

    def cancel(*_):
        passes.append(1)
        if len(passes) == pass_number:
            raise CancelationException("stop")

    hook = components.modules["transformer"].register_forward_hook(cancel)
    try:
        with pytest.raises(CancelationException):
            make(**FAST | {"num_outputs": 2})
    finally:
        hook.remove()
    assert raw(make(**SMALL)[0]) == exact
    assert raw(make(**FAST)[0]) == fast


def test_with_a_lora_it_holds_for_that_request_only(make_emoji, lora):
    exact, fast = raw(make_emoji(**SMALL)[0]), raw(make_emoji(**FAST)[0])
    (with_lora,), passes = make_emoji(**FAST, adapters=[(lora, 1.0)])
    assert passes == 7
    (exact_with_lora,), _ = make_emoji(**SMALL, adapters=[(lora, 1.0)])
    assert with_lora.tobytes() not in {*exact, *fast, exact_with_lora.tobytes()}
    assert psnr(with_lora, exact_with_lora) > psnr(with_lora, make_emoji(**SMALL)[0][0]) + 3
    assert raw(make_emoji(**FAST, adapters=[(lora, 1.0)])[0]) == [with_lora.tobytes()]
    assert (raw(make_emoji(**SMALL)[0]), raw(make_emoji(**FAST)[0])) == (exact, fast)


@pytest.mark.parametrize("inpaint", [False, True])
def test_on_an_image_the_passes_that_are_left_count(make_emoji, tmp_path, inpaint):
    image, mask = tmp_path / "image.png", tmp_path / "mask.png"
    make_emoji("red apple", **SMALL)[0][0].save(image)
    white_left = Image.new("L", (64, 64))
    ImageDraw.Draw(white_left).rectangle((0, 0, 31, 63), fill=255)
    white_left.save(mask)
    inputs = SMALL | {"image": image, "prompt_strength": 0.8} | ({"mask": mask} if inpaint else {})
    (exact,), all_passes = make_emoji(**inputs)
    (fast,), passes = make_emoji(**inputs, go_fast=True)
    assert (all_passes, passes) == (8, 6)
    assert fast.tobytes() != exact.tobytes()
    assert psnr(fast, exact) >= PSNR


def test_with_as_few_steps_as_are_computed_anyway_nothing_changes(make):
    few = SMALL | {"num_inference_steps": EXACT_PASSES}
    assert raw(make(**few, go_fast=True)[0]) == raw(make(**few)[0])
