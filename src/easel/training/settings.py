"""What a caller asked of a training, and every check of it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.models import Model
from easel.request import number_problems, text_problems
from easel.training.captions import Captions

# The linear layers of each of the transformer's main blocks, by diffusers' names.
ATTENTION = ("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0")
FEED_FORWARD = ("feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
LORA_TARGETS = {"attention": ATTENTION, "attention_and_feed_forward": (*ATTENTION, *FEED_FORWARD)}

LIMITS = {"steps": (100, 6000), "batch_size": (1, 64), "lora_rank": (1, 128), "seed": (0, 2**32 - 1)}  # inclusive
MAX_LEARNING_RATE = 0.1


@dataclass(frozen=True)
class TrainingSettings:
    """The inputs of one training by their names; `resolutions` is what the text `resolution` says.

    In `make_settings` None stands for the model's own value; nothing but `seed` is None afterwards. An empty
    `validation_prompt` makes no images.
    """

    input_images: Path
    trigger_word: str
    caption_prefix: str
    caption_suffix: str
    steps: int
    learning_rate: float
    batch_size: int
    resolutions: tuple[int, ...]
    lora_rank: int
    lora_targets: str
    caption_dropout_rate: float
    seed: int | None
    validation_prompt: str

    @property
    def captions(self) -> Captions:
        return Captions(self.trigger_word, self.caption_prefix, self.caption_suffix)


DEFAULTS: dict[str, Any] = {
    "trigger_word": "TOK",
    "caption_prefix": "",
    "caption_suffix": "",
    "steps": None,
    "learning_rate": None,
    "batch_size": None,
    "resolution": None,
    "lora_rank": 16,
    "lora_targets": "attention",
    "caption_dropout_rate": 0.05,
    "seed": None,
    "validation_prompt": None,
}


def make_settings(inputs: Mapping[str, Any], model: Model) -> TrainingSettings:
    """Return the settings of inputs by their names, with the model's own values where they are silent.

    Raises one InputError that names everything wrong.
    """
    own = model.training
    if own is None:
        raise InputError(f"{model.name} cannot be trained: its model.yaml says nothing of training.")
    known = ("input_images", *DEFAULTS)
    unknown = [f"There is no input {name!r}; there are {', '.join(known)}." for name in inputs if name not in known]
    values = {**DEFAULTS, **{name: value for name, value in inputs.items() if value is not None}}
    for name in ("steps", "learning_rate", "batch_size", "resolution"):
        values[name] = own[name] if values.get(name) is None else values[name]
    if values["validation_prompt"] is None:
        values["validation_prompt"] = values["trigger_word"]
    problems = [*unknown, *problems_of(values, model)]
    if problems:
        raise InputError(" ".join(problems))
    values["resolutions"] = tuple(read_resolutions(values["resolution"]) or ())
    values["learning_rate"] = float(values["learning_rate"])
    values["caption_dropout_rate"] = float(values["caption_dropout_rate"])
    for name in LIMITS:
        values[name] = None if values[name] is None else int(values[name])
    return TrainingSettings(**{field.name: values[field.name] for field in fields(TrainingSettings)})


def cast_inputs(texts: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return inputs given as texts, `input_images` without its @. Raises InputError for one that is given twice.

    A text that should be a number and is none stays as it is, for `make_settings` to refuse.
    """
    twice = [
        f"{name}: given {len(values)} times, but it takes one value." for name, values in texts.items() if values[1:]
    ]
    if twice:
        raise InputError(" ".join(twice))
    return {name: cast_text(name, values[0]) for name, values in texts.items()}


def cast_text(name: str, text: str) -> Any:
    if name == "input_images":
        return text.removeprefix("@")
    if name not in (*LIMITS, "learning_rate", "caption_dropout_rate"):
        return text
    try:
        return int(text) if name in LIMITS else float(text)
    except ValueError:
        return text


def problems_of(values: Mapping[str, Any], model: Model) -> list[str]:
    problems = [
        *file_problems(values.get("input_images")),
        *caption_problems(values),
        *text_problems("validation_prompt", values["validation_prompt"]),
        *(problem for name, limits in LIMITS.items() for problem in number_problems(name, values[name], limits)),
        *fraction_problems("learning_rate", values["learning_rate"], 0, MAX_LEARNING_RATE, above=True),
        *fraction_problems("caption_dropout_rate", values["caption_dropout_rate"], 0, 1),
        *resolution_problems(values["resolution"], model),
    ]
    if values["lora_targets"] not in LORA_TARGETS:
        problems.append(f"lora_targets is {values['lora_targets']!r}; it must be one of {', '.join(LORA_TARGETS)}.")
    return problems


def file_problems(value: Any) -> list[str]:
    if value is None:
        return ["input_images is missing: give a zip or tar of images."]
    if not isinstance(value, Path):
        return [f"input_images must be a file, not {str(value)[:80]!r}."]
    return [] if value.exists() else [f"input_images: there is no file {value.name!r}."]


def caption_problems(values: Mapping[str, Any]) -> list[str]:
    texts = {name: values[name] for name in ("trigger_word", "caption_prefix", "caption_suffix")}
    wrong = [f"{name} must be text, not {value!r}." for name, value in texts.items() if not isinstance(value, str)]
    try:
        if not wrong:
            Captions(*texts.values())
    except InputError as error:
        return [str(error)]
    return wrong


def fraction_problems(name: str, value: Any, low: float, high: float, *, above: bool = False) -> list[str]:
    """`above`: the lowest number itself is refused."""
    words = f"a number {f'above {low} and at most' if above else f'from {low} to'} {high}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return [f"{name} must be {words}, not {value!r}."]
    return [] if low <= value <= high and not (above and value == low) else [f"{name} is {value}; it must be {words}."]


def read_resolutions(value: Any) -> list[int] | None:
    """Return the numbers of "512,768,1024" or of one number, each once and in order; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,5}\s*(,\s*\d{1,5}\s*){0,9}", value):
        return sorted({int(part) for part in value.split(",")})
    return None


def resolution_problems(value: Any, model: Model) -> list[str]:
    low, high = (math.isqrt(area) for area in (model.min_area, model.max_area))
    numbers = read_resolutions(value)
    if numbers is None:
        return [f"resolution must be numbers of pixels with commas between them, as 512,768, not {str(value)[:80]!r}."]
    return [
        f"resolution {number} must be a multiple of {model.multiple} from {low} to {high} for {model.name}."
        for number in numbers
        if number % model.multiple or not low <= number <= high
    ]
