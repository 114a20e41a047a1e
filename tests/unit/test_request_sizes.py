"""Sizes, images and LoRAs of a request."""

import math
from dataclasses import fields
from pathlib import Path

import pytest

from easel.errors import InputError
from easel.models import Model
from easel.request import Request, check_request
from tests.support.request_common import refusal, request
from tests.support.tiny import MODEL


@pytest.mark.parametrize(("given", "missing"), [("width", "height"), ("height", "width")])
def test_one_side_without_the_other_is_refused(given, missing):
    message = refusal(**{given: 128})
    assert message == f"{given} is given without {missing}: give both, or neither and an aspect_ratio."


@pytest.mark.parametrize("size", [(64, 64), (192, 192), (128, 256), (71, 64), (199, 192), (192.0, 199.0)])
def test_area_within_the_models_limits_after_rounding_is_accepted(size):
    width, height = size
    for pair in ((width, height), (height, width)):
        check_request(request(width=pair[0], height=pair[1]), MODEL)


def test_area_is_refused_only_where_the_rounded_size_is_outside():
    """200 x 184 has fewer pixels than 192 x 192, but is made as 208 x 192."""
    assert MODEL.max_area > 200 * 184
    assert "208 x 192" in refusal(width=200, height=184)
    assert MODEL.max_area < 199 * 199
    check_request(request(width=199, height=199), MODEL)


def test_area_below_the_models_limit_is_refused_with_what_is_allowed():
    small = Model(**{**vars(MODEL), "min_area": 80 * 80})
    check_request(request(width=72, height=72), small)
    with pytest.raises(InputError) as caught:
        check_request(request(width=71, height=79), small)
    message = str(caught.value)
    assert "64 x 80 = 5120 pixels (rounded to multiples of 16)" in message
    assert "tiny makes 6400 to 36864 pixels, 80 x 80 to 192 x 192 when square." in message


@pytest.mark.parametrize("size", [(208, 192), (192, 208), (64, 592), (2048, 2048)])
def test_area_above_the_models_limit_is_refused_with_what_is_allowed(size):
    width, height = size
    message = refusal(width=width, height=height)
    assert f"width x height is {width} x {height} = {width * height} pixels" in message
    assert "tiny makes 4096 to 36864 pixels, 64 x 64 to 192 x 192 when square." in message


def test_a_wrong_size_is_named_together_with_other_problems():
    for changes in ({"width": 128}, {"width": 2048, "height": 2048}):
        message = refusal(**changes, num_outputs=9)
        assert "num_outputs is 9" in message
        assert message.endswith(refusal(**changes))


def test_all_problems_are_named_in_one_message():
    message = refusal(
        prompt=" ",
        negative_prompt="\0",
        aspect_ratio="2:1",
        width=63,
        height=2049,
        num_outputs=5,
        num_inference_steps=0,
        guidance_scale=21,
        seed=-1,
        output_format="gif",
        output_quality=101,
        image="/etc/passwd",
        mask="mask.png",
        prompt_strength=1.5,
        lora_weights=["x"] * 5,
        lora_scales=[3],
        hf_token="two words",
        civitai_token="\0",
        disable_safety_checker="no",
        go_fast=1,
    )
    assert all(f"{field.name} " in message.replace("[0] ", " ") for field in fields(Request))
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image": "/etc/passwd"}, "image must be a file as a data: URL or an https:// address, not '/etc/passwd'."),
        ({"mask": Path("mask.png")}, "mask is given without image: give the image that it belongs to."),
        (
            {"aspect_ratio": "match_input_image"},
            "aspect_ratio is match_input_image, but there is no image: give one, or a ratio such as 1:1.",
        ),
        ({"lora_weights": "x/y"}, "lora_weights must be a list of texts, not 'x/y'."),
        ({"lora_weights": ["x/y"] * 5}, "lora_weights names 5 LoRAs; at most 4 are accepted."),
        ({"lora_scales": [1]}, "lora_scales is given without lora_weights: name the LoRAs that they are for."),
        ({"lora_weights": ["x/y"], "lora_scales": 1}, "lora_scales must be a list of numbers, not '1'."),
        (
            {"lora_weights": ["x/y"], "lora_scales": [math.nan]},
            "lora_scales[0] is nan; it must be a number from -2 to 2.",
        ),
        (
            {"lora_weights": ["x/y"] * 3, "lora_scales": [1, 2]},
            "lora_scales has 2 numbers for 3 LoRAs: give one for each, or a single one for all.",
        ),
    ],
)
def test_images_and_loras_that_do_not_go_together_are_refused(changes, sentence):
    assert refusal(**changes) == sentence


def test_a_model_that_makes_pictures_from_text_alone_says_so():
    with pytest.raises(InputError, match="tiny cannot work on an image"):
        check_request(request(image=Path("image.png")), Model(**{**vars(MODEL), "pipelines": {"text": "A"}}))


def test_a_long_list_of_wrong_scales_gets_a_short_sentence():
    assert len(refusal(lora_weights=["x/y"], lora_scales=[9] * 10_000)) < 500


@pytest.mark.parametrize("token", ["secret token", "s\u00e9cret", "secret" * 200, 7])
def test_a_token_that_cannot_be_one_is_refused_and_never_shown(token):
    message = refusal(hf_token=token)
    assert message == "hf_token must be text of at most 1000 ASCII characters without spaces."
    assert "secret" not in repr(request(hf_token="secret", civitai_token="secret"))
