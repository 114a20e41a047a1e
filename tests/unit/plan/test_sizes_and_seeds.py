"""A plan leaves nothing open: sizes, seeds, steps, guidance."""

import random
from dataclasses import replace
from functools import reduce
from operator import and_, or_

import pytest

from easel.errors import InputError
from easel.plan import Plan
from tests.support.tiny import MODEL
from tests.unit.plan.common import plan_for


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
