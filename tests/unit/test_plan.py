"""A plan leaves nothing open: sizes, seeds, steps and guidance are settled, and what was bent is said."""

import json
import random
from dataclasses import FrozenInstanceError, asdict, replace
from functools import reduce
from operator import and_, or_
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import InputError
from easel.plan import Plan, plan_request
from easel.request import CHOICES, MAX_SEED, Request
from easel.sizes import MATCH_INPUT_IMAGE
from tests.support.tiny import MODEL


@pytest.fixture
def image(tmp_path):
    """The name of a file that is not there: to plan reads none."""
    return tmp_path / "image.png"


def plan_for(model=MODEL, image_size=(60, 40), **inputs):
    return plan_request(
        Request(**{"prompt": "a red apple", **inputs}), model, image_size if "image" in inputs else None
    )


def test_a_request_that_is_not_good_gets_no_plan():
    with pytest.raises(InputError, match="seed is -1"):
        plan_for(seed=-1)


def test_what_was_asked_for_is_planned():
    assert plan_for(
        negative_prompt="leaves",
        width=96,
        height=160,
        num_outputs=2,
        num_inference_steps=5,
        guidance_scale=1.25,
        seed=7,
        output_format="png",
        output_quality=50,
    ) == Plan(
        model="tiny",
        prompt="a red apple",
        negative_prompt="leaves",
        width=96,
        height=160,
        seeds=(7, 8),
        num_inference_steps=5,
        guidance_scale=1.25,
        output_format="png",
        output_quality=50,
        warnings=(),
    )


def test_what_was_not_given_comes_from_the_model():
    plan = plan_for()
    assert (plan.num_inference_steps, plan.guidance_scale) == (8, 3.5)
    assert (plan.width, plan.height) == (128, 128)
    large = plan_for(replace(MODEL, native_area=1024**2, max_area=2048**2, num_inference_steps=9), aspect_ratio="16:9")
    assert (large.num_inference_steps, large.width, large.height) == (9, 1360, 768)


@pytest.mark.parametrize("scale", [0, 0.0])
def test_guidance_scale_0_is_not_taken_for_not_given(scale):
    assert plan_for(guidance_scale=scale).guidance_scale == 0


def test_width_and_height_override_the_aspect_ratio_and_are_rounded():
    plan = plan_for(aspect_ratio="16:9", width=72, height=135)
    assert (plan.width, plan.height) == (80, 128)


def test_seed_0_is_a_seed():
    assert plan_for(seed=0).seeds == (0,)
    assert plan_for(seed=0, num_outputs=3).seeds == (0, 1, 2)


def test_seeds_go_on_from_0_after_the_highest():
    assert plan_for(seed=2**32 - 2, num_outputs=4).seeds == (2**32 - 2, 2**32 - 1, 0, 1)


def test_image_k_has_the_seed_that_makes_it_alone():
    seeds = plan_for(seed=41, num_outputs=4).seeds
    assert [plan_for(seed=seed).seeds for seed in seeds] == [(seed,) for seed in seeds]


def test_random_seeds_use_31_bits():
    """A bit that stays the same over 100 draws would be chance once in 2**99."""
    seeds = [plan_for().seeds[0] for _ in range(100)]
    assert reduce(or_, seeds) == 2**31 - 1
    assert reduce(and_, seeds) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_random_seed_of_a_request_can_be_given_back_to_cogs_command_line(monkeypatch, count):
    """It reads whole numbers as 32 bits with a sign."""
    monkeypatch.setattr("secrets.randbelow", lambda limit: limit - 1)
    assert plan_for(num_outputs=count).seeds == tuple(range(2**31 - count, 2**31))
    monkeypatch.setattr("secrets.randbelow", lambda limit: 0)
    assert plan_for(num_outputs=count).seeds == tuple(range(count))


def test_random_seed_does_not_follow_pythons_global_generator():
    random.seed(0)
    first = plan_for(num_outputs=4).seeds
    random.seed(0)
    assert plan_for(num_outputs=4).seeds != first
    assert [(seed - first[0]) % 2**32 for seed in first] == [0, 1, 2, 3]


def test_whole_numbers_are_ints_however_they_came():
    plan = plan_for(
        width=128.0, height=64.0, num_outputs=2.0, num_inference_steps=3.0, seed=4294967295.0, output_quality=90.0
    )
    assert plan.seeds == (2**32 - 1, 0)
    for value in (plan.width, plan.height, *plan.seeds, plan.num_inference_steps, plan.output_quality):
        assert type(value) is int
    assert plan.warnings == ()


def test_guidance_scale_is_a_float_however_it_came():
    assert type(plan_for(guidance_scale=3).guidance_scale) is float
    assert type(plan_for(replace(MODEL, guidance_scale=0)).guidance_scale) is float


def test_rounded_size_is_a_warning():
    assert plan_for(width=100, height=128).warnings == ("100 x 128 was rounded to 96 x 128 pixels, multiples of 16.",)
    assert plan_for(width=128, height=135).warnings == ("128 x 135 was rounded to 128 x 128 pixels, multiples of 16.",)
    assert plan_for(width=96, height=128).warnings == ()


def test_a_size_written_with_a_point_is_named_without_it():
    assert plan_for(width=100.0, height=128.0).warnings == plan_for(width=100, height=128).warnings


def test_an_aspect_ratio_beside_width_and_height_is_a_warning():
    (warning,) = plan_for(aspect_ratio="16:9", width=96, height=128).warnings
    assert warning == "aspect_ratio 16:9 is ignored, since width and height are given."


def test_negative_prompt_that_has_no_effect_is_a_warning():
    (warning,) = plan_for(negative_prompt="leaves", guidance_scale=0).warnings
    assert "negative_prompt has no effect" in warning
    assert "raise guidance_scale" in warning
    assert plan_for(replace(MODEL, guidance_scale=0.0), negative_prompt="leaves").warnings == (warning,)
    assert plan_for(negative_prompt="leaves", guidance_scale=0.1).warnings == ()
    assert plan_for(guidance_scale=0).warnings == ()


def test_all_warnings_are_kept():
    assert len(plan_for(width=100, height=100, negative_prompt="leaves", guidance_scale=0).warnings) == 2


def test_a_plan_cannot_be_changed():
    plan = plan_for()
    with pytest.raises(FrozenInstanceError):
        plan.seeds = (1,)
    assert type(plan.seeds) is type(plan.warnings) is tuple
    assert plan in {plan}


def test_a_plan_survives_json():
    plan = plan_for(prompt='größe "像素" \N{RED APPLE}\n', negative_prompt="x", width=100, height=100, num_outputs=2)
    assert plan.warnings
    read = json.loads(plan.to_json())
    assert list(read) == list(asdict(plan))
    assert Plan(**{**read, **{name: tuple(read[name]) for name in ("seeds", "warnings", "loras")}}) == plan


def test_json_of_a_plan_is_one_readable_line():
    text = plan_for(prompt="größe \N{RED APPLE}\nin red").to_json()
    assert "\n" not in text
    assert "größe \N{RED APPLE}" in text


def test_an_image_brings_its_strength_and_leaves_the_passes_that_are_needed(image):
    plan = plan_for(image=image, prompt_strength=0.5, num_inference_steps=9)
    assert (plan.kind, plan.prompt_strength, plan.passes) == ("image", 0.5, 5)
    assert plan_for(image=image, mask=image).kind == "inpaint"
    assert (plan_for().kind, plan_for().passes) == ("text", 8)


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 200), (160, 112)), ((900, 100), (192, 80)), ((1, 1000), (80, 192))]
)
def test_match_input_image_takes_the_ratio_of_the_image_but_none_beyond_21_to_9(image, size, expected):
    plan = plan_for(image=image, image_size=size, aspect_ratio="match_input_image")
    assert (plan.width, plan.height) == expected


def test_go_fast_that_has_no_effect_is_a_warning(image):
    fast = plan_for(go_fast=True, num_inference_steps=6)
    assert (fast.go_fast, fast.warnings) == (True, ())
    assert plan_for(num_inference_steps=6).go_fast is False
    for inputs, passes in (({}, 5), ({"image": image, "prompt_strength": 0.5}, 3)):
        plan = plan_for(go_fast=True, num_inference_steps=passes if not inputs else 6, **inputs)
        warning = f"go_fast has no effect: it computes the first 5 steps, and there are {passes}."
        assert (plan.go_fast, plan.warnings) == (False, (warning,))
    plan = plan_for(replace(MODEL, go_fast=None), go_fast=True, num_inference_steps=50)
    assert (plan.go_fast, plan.warnings) == (False, ("go_fast has no effect: tiny has no setting for it.",))


def test_one_lora_scale_serves_all_and_none_is_1():
    assert [lora.scale for lora in plan_for(lora_weights=["a/b", "c/d"]).loras] == [1.0, 1.0]
    assert [lora.scale for lora in plan_for(lora_weights=["a/b", "c/d"], lora_scales=[0.5]).loras] == [0.5, 0.5]
    assert [lora.scale for lora in plan_for(lora_weights=["a/b", "c/d"], lora_scales=[0, 2]).loras] == [0.0, 2.0]


def test_what_prompt_strength_cannot_do_is_a_warning(image):
    assert plan_for(prompt_strength=0.5).warnings == ("prompt_strength has no effect without an image.",)
    assert "only resized" in plan_for(image=image, prompt_strength=0).warnings[0]


def test_no_token_gets_into_a_plan():
    assert "secret" not in repr(plan_for(hf_token="secret", civitai_token="secret"))


SIDES = st.integers(1, 10_000)
REQUESTS = st.builds(
    Request,
    prompt=st.just("a red apple"),
    image=st.none() | st.just(Path("no such file")),
    aspect_ratio=st.sampled_from([ratio for ratio in CHOICES["aspect_ratio"] if ratio != MATCH_INPUT_IMAGE]),
    num_outputs=st.integers(1, 4),
    num_inference_steps=st.none() | st.integers(1, 50),
    guidance_scale=st.none() | st.floats(0, 20),
    prompt_strength=st.floats(0, 1),
    seed=st.integers(0, MAX_SEED),
    go_fast=st.booleans(),
)


@given(REQUESTS, st.tuples(SIDES, SIDES), st.booleans())
def test_planning_is_pure(request, image_size, match):
    """The same request gives the same plan, no file is read, and the plan's own size and seed give it again."""
    if request.image and match:
        request = replace(request, aspect_ratio=MATCH_INPUT_IMAGE)
    size = image_size if request.image else None
    plan = plan_request(request, MODEL, size)
    assert plan == plan_request(request, MODEL, size)
    assert plan.width % MODEL.multiple == plan.height % MODEL.multiple == 0
    assert MODEL.min_area <= plan.width * plan.height <= MODEL.max_area
    assert 0 <= plan.passes <= plan.num_inference_steps
    settled = replace(request, width=plan.width, height=plan.height, aspect_ratio="1:1")
    assert replace(plan_request(settled, MODEL, size), warnings=()) == replace(plan, warnings=())
