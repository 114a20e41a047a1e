"""Previews of what is being made: when, of what, and that they change nothing."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from easel.inference.previews import METRIC, Previews, count_in, load_to_image, preview_steps
from easel.plan import plan_request
from easel.request import Request
from tests.support.tiny import MODEL


@pytest.mark.parametrize(
    ("count", "passes", "steps"),
    [(3, 8, {2, 4, 6}), (1, 8, {4}), (0, 8, set()), (3, 2, set()), (3, 3, {2}), (2, 50, {17, 34}), (3, 0, set())],
)
def test_previews_are_spread_over_the_steps_between_the_first_and_the_last(count, passes, steps):
    assert preview_steps(count, passes) == steps


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("3", 3), ("4", 0), ("-1", 0), ("two", 0), ("1" * 9999, 0)])
def test_what_the_context_does_not_say_rightly_is_none(text, count):
    assert count_in({"easel_previews": text}) == count
    assert count_in({}) == 0


class Scheduler:
    """Straight from noise at sigma 1 to the image at 0."""

    sigmas = torch.linspace(1, 0, 5)
    step_index = 0


def test_on_a_straight_path_every_preview_is_the_image_without_noise():
    plan = plan_request(Request("x", num_inference_steps=4, num_outputs=2), MODEL)
    told = {}
    clean, noise = torch.full((1, 3, 4, 6), 0.5), torch.randn(1, 3, 4, 6)
    seen = []
    previews = Previews(3, plan, lambda x: seen.append(x) or Image.new("RGB", (6, 4)), told.__setitem__)
    for _ in plan.seeds:
        for step in range(1, 5):
            Scheduler.step_index = step
            sigma = Scheduler.sigmas[step]
            previews.after(step, Scheduler, clean + sigma * (noise - clean))
    assert len(seen) == 4  # after steps 2 and 3 of each image
    for one in seen:
        torch.testing.assert_close(one, clean, atol=1e-5, rtol=0)
    assert [one["image"] for one in told[METRIC]] == [0, 0, 1, 1]
    assert {(one["width"], one["height"]) for one in told[METRIC]} == {(plan.width, plan.height)}
    with Image.open(io.BytesIO(base64.b64decode(told[METRIC][0]["data"]))) as image:
        assert (image.format, image.size) == ("WEBP", (6, 4))


def test_a_linear_map_and_a_tiny_autoencoder_make_images_and_a_model_without_them_none(tmp_path):
    model = replace(MODEL, folder=tmp_path)
    cpu = torch.device("cpu")
    assert load_to_image(model, cpu) is None
    linear = replace(model, preview={"linear": "preview.json"})
    assert load_to_image(linear, cpu) is None
    (tmp_path / "preview.json").write_text('{"weights": [[1, 0, 0], [0, 1, 0]], "bias": [0, 0, 0.5]}')
    image = load_to_image(linear, cpu)(torch.stack([torch.ones(2, 3), torch.zeros(2, 3)])[None])
    assert (np.asarray(image) == [255, 0, 128]).all()
    tiny = replace(model, preview={"autoencoder": "taef1"})
    assert load_to_image(tiny, cpu) is None
    AutoencoderTiny(
        latent_channels=4,
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
    ).save_pretrained(tmp_path / "taef1")
    assert load_to_image(tiny, cpu)(torch.zeros(1, 4, 8, 16)).size == (32, 16)
