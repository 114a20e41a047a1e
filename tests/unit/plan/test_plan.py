"""A plan cannot be changed, survives JSON, and is pure."""

import json
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.plan import Plan, plan_request
from easel.request import CHOICES, MAX_SEED, Request
from easel.sizes import MATCH_INPUT_IMAGE
from tests.support.tiny import MODEL
from tests.unit.plan.common import plan_for


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
