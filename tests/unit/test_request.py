"""A request is checked: texts, numbers, choices."""

import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import NoneType
from typing import get_args, get_type_hints

import pytest

from easel.request import CHOICES, FRACTIONAL, LIMITS, MAX_PROMPT_CHARACTERS, Request, check_request
from tests.support.request_common import refusal, request
from tests.support.tiny import MODEL

WHOLE = sorted(LIMITS.keys() - set(FRACTIONAL))


NULLABLE = sorted(name for name, kind in get_type_hints(Request).items() if NoneType in get_args(kind))


APPLE = "\N{RED APPLE}"  # 4 bytes in UTF-8, half a surrogate pair if it is cut in UTF-16


def sized(name, value):
    """A value for one input; a side gets another one, so that nothing but the value can be wrong."""
    if value == "match_input_image":
        return {name: value, "image": Path("image.png")}
    other = {"width": "height", "height": "width"}.get(name)
    return {name: value, other: 128} if other else {name: value}


def test_a_prompt_is_enough():
    check_request(Request("a red apple"), MODEL)


def test_a_request_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        request().seed = 1


def test_nothing_is_checked_before_it_is_known_for_which_model():
    assert request(width="wide", seed=-1) == Request("a red apple", width="wide", seed=-1)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "x"},
        {"prompt": "x" * MAX_PROMPT_CHARACTERS, "negative_prompt": APPLE * MAX_PROMPT_CHARACTERS},
        {"prompt": f"{APPLE} ein Apfel, größer als 像素\n\ttwo lines"},
        {"negative_prompt": ""},
        {"negative_prompt": "  "},
        {"width": 128, "height": 128, "aspect_ratio": "16:9"},
        {"num_outputs": 4, "seed": 2**32 - 1},
        {"guidance_scale": 0.1},
        {"guidance_scale": 3},
        *({name: None} for name in NULLABLE),
        *(sized(name, choice) for name, choices in CHOICES.items() for choice in choices),
        {"image": Path("image.png"), "prompt_strength": 0.5},
        {"image": Path("image.png"), "mask": Path("mask.png"), "prompt_strength": 1},
        {"lora_weights": [], "lora_scales": []},
        {"lora_weights": ["owner/name"]},
        {"lora_weights": ["owner/name"] * 4, "lora_scales": [0.5]},
        {"lora_weights": ["owner/name"] * 2, "lora_scales": [-2, 2.0]},
        {"hf_token": "hf_x", "civitai_token": "y" * 1000, "disable_safety_checker": True},
        {"go_fast": True},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_good_request_is_accepted(changes):
    check_request(request(**changes), MODEL)


@pytest.mark.parametrize("name", LIMITS)
def test_whole_number_may_come_as_a_float(name):
    """Cog's server hands JSON's 3.0 on as a float."""
    good = {"width": 128.0, "height": 128.0, "prompt_strength": 1.0}.get(name, 3.0)
    check_request(request(**sized(name, good)), MODEL)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [3.5, -0.5, math.inf, -math.inf, math.nan])
def test_number_that_is_not_whole_is_refused(name, value):
    low, high = LIMITS[name]
    assert refusal(**sized(name, value)) == f"{name} must be a whole number from {low} to {high}, not {value!r}."


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 20.001, -0.001])
def test_guidance_scale_beyond_its_limits_is_refused(value):
    assert refusal(guidance_scale=value) == f"guidance_scale is {value}; it must be from 0 to 20."


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [True, False, "3", "", [3], {}, 3 + 0j], ids=repr)
def test_what_is_no_number_is_refused(name, value):
    kind = "a number" if name in FRACTIONAL else "a whole number"
    low, high = LIMITS[name]
    assert refusal(**sized(name, value)) == f"{name} must be {kind} from {low} to {high}, not {value!r}."


@pytest.mark.parametrize("name", WHOLE)
def test_number_beyond_its_limits_is_refused(name):
    low, high = LIMITS[name]
    for value in (low - 1, high + 1, float(high + 1), -(10**30), 10**30):
        assert refusal(**sized(name, value)) == f"{name} is {value}; it must be from {low} to {high}."


@pytest.mark.parametrize("name", sorted({field.name for field in fields(Request)} - set(NULLABLE)))
def test_nothing_is_refused_for_an_input_that_must_be_given(name):
    message = refusal(**{name: None})
    assert message.startswith(f"{name} ")
    assert "None" in message


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["", "PNG", "1:2", " 1:1", "jpeg", 1, ["1:1"]], ids=repr)
def test_value_that_is_no_choice_is_refused_with_the_choices(name, value):
    assert refusal(**{name: value}) == f"{name} is {value!r}; it must be one of {', '.join(CHOICES[name])}."


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000\u00a0"], ids=ascii)
def test_empty_prompt_is_refused(prompt):
    assert refusal(prompt=prompt) == "prompt is empty: say what the image should show."


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, " must be text, not 7."),
        (b"apple", " must be text, not b'apple'."),
        (["apple"], " must be text, not ['apple']."),
        ("x" * 5001, " has 5001 characters; at most 5000 are accepted: shorten it."),
        (APPLE * 5001, " has 5001 characters; at most 5000 are accepted: shorten it."),
        ("an\0apple", " contains the control character 0x00 at position 2: remove it."),
        ("an\x1bapple", " contains the control character 0x1b at position 2: remove it."),
        ("an\ud83capple", " contains half a surrogate pair at position 2: send valid Unicode."),
        ("apple\udf4e", " contains half a surrogate pair at position 5: send valid Unicode."),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_text_that_cannot_be_used_is_refused(name, value, words):
    assert refusal(**{name: value}) == name + words


def test_refusal_of_half_a_surrogate_can_be_printed():
    for changes in ({"prompt": "\ud83c"}, {"aspect_ratio": "\ud83c"}, {"seed": "\ud83c"}):
        refusal(**changes).encode()
