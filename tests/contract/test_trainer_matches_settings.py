"""The inputs of a training stand in `train.py`, in `openapi.json` and in `training/settings.py`; all say the same."""

import json
from pathlib import Path

import pytest

from easel.errors import InputError
from easel.models import load_model
from easel.request import MAX_PROMPT_CHARACTERS
from easel.schema.inputs import NO_DEFAULT, ValueType
from easel.schema.openapi import read_trainer
from easel.training.captions import MAX_ADDED, MAX_TRIGGER
from easel.training.settings import DEFAULTS, LIMITS, LORA_TARGETS, MAX_LEARNING_RATE, make_settings

ROOT = Path(__file__).resolve().parents[2]
TRAINER = read_trainer(ROOT / "train.py")
INPUTS = {item.name: item for item in TRAINER.inputs}
SCHEMAS = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
PUBLISHED = SCHEMAS["TrainingInput"]["properties"]
MODEL = load_model(ROOT / "weights" / "emoji")
FRACTIONS = {"learning_rate": (0, MAX_LEARNING_RATE), "caption_dropout_rate": (0, 1)}
LENGTHS = {
    "trigger_word": (1, MAX_TRIGGER),
    "caption_prefix": (None, MAX_ADDED),
    "caption_suffix": (None, MAX_ADDED),
    "validation_prompt": (None, MAX_PROMPT_CHARACTERS),
}


def is_accepted(name, value):
    try:
        make_settings({"input_images": Path(__file__), name: value}, MODEL)
    except InputError as error:
        return not str(error).startswith(name)
    return True


def edges():
    for name, (low, high) in (LIMITS | FRACTIONS).items():
        step = 1 if name in LIMITS else 1e-9
        yield from [(name, low - step, False), (name, high, True), (name, high + step, False)]
        yield (
            name,
            low,
            name != "learning_rate",
        )  # which is above 0: Input() has no word for it
    for name, (low, high) in LENGTHS.items():
        yield from [(name, "x" * high, True), (name, "x" * (high + 1), False), (name, "", not low)]
    for target in LORA_TARGETS:
        yield "lora_targets", target, True
    yield "lora_targets", "mlp", False


def test_names_and_order_are_the_same():
    assert list(INPUTS) == ["input_images", *DEFAULTS] == list(PUBLISHED)
    assert SCHEMAS["TrainingInput"]["required"] == [name for name, item in INPUTS.items() if item.required]
    assert SCHEMAS["TrainingInput"]["required"] == ["input_images"]


@pytest.mark.parametrize("name", INPUTS)
def test_default_and_limits_are_the_same(name):
    item = INPUTS[name]
    assert item.default == DEFAULTS.get(name, NO_DEFAULT)
    assert item.type.optional == (item.default is None)
    assert (item.ge, item.le) == (LIMITS | FRACTIONS).get(name, (None, None))
    assert (item.min_length, item.max_length) == LENGTHS.get(name, (None, None))
    assert item.choices == (tuple(LORA_TARGETS) if name == "lora_targets" else None)
    kind = "Path" if name == "input_images" else "int" if name in LIMITS else "float" if name in FRACTIONS else "str"
    assert item.type.name == kind
    assert not item.type.many


@pytest.mark.parametrize(("name", "value", "accepted"), list(edges()))
def test_settings_refuse_what_is_outside(name, value, accepted):
    assert is_accepted(name, value) == accepted


def test_output_is_what_replicate_takes_for_a_version():
    """`weights` in an object: https://replicate.com/docs/reference/http#trainings.create"""
    assert TRAINER.output == {"weights": ValueType("Path")}
    assert SCHEMAS["TrainingOutput"]["properties"] == {
        "weights": {"type": "string", "format": "uri", "title": "Weights"}
    }
