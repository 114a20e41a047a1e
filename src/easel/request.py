"""What a caller asked for, and every check of it. The truth; predict.py repeats it for Cog, a test holds them equal."""

import math
import re
from dataclasses import dataclass
from typing import Any

from easel.errors import InputError
from easel.models import Model
from easel.sizes import ASPECT_RATIOS, snap

OUTPUT_FORMATS = ("webp", "jpg", "png")
MAX_PROMPT_CHARACTERS = 5000  # two prompts of 4-byte characters and their copy fit JPEG's 64 KB of metadata
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # JSON writes 6 letters for each: too much for JPEG
MAX_SEED = 2**32 - 1

# Inclusive limits of the numbers, for every model. A model's own limits of area come on top.
LIMITS = {
    "width": (64, 2048),
    "height": (64, 2048),
    "num_outputs": (1, 4),
    "num_inference_steps": (1, 50),
    "guidance_scale": (0, 20),
    "seed": (0, MAX_SEED),
    "output_quality": (0, 100),
}
CHOICES = {"aspect_ratio": ASPECT_RATIOS, "output_format": OUTPUT_FORMATS}
FRACTIONAL = ("guidance_scale",)  # the others are whole; 3.0 is as good as 3, since JSON does not tell them apart
OPTIONAL = ("width", "height", "num_inference_steps", "guidance_scale", "seed")  # None: not given


@dataclass(frozen=True)
class Request:
    """The inputs of one run, by Replicate's names. None means "not given": the model or chance decides.

    Nothing is checked here: `check_request` does that for a model.
    """

    prompt: str
    negative_prompt: str = ""
    aspect_ratio: str = "1:1"
    width: int | None = None
    height: int | None = None
    num_outputs: int = 1
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    output_format: str = "webp"
    output_quality: int = 80


def check_request(request: Request, model: Model) -> None:
    """Raise one InputError that names everything wrong with the request for this model."""
    problems = [
        *text_problems("prompt", request.prompt),
        *text_problems("negative_prompt", request.negative_prompt),
        *(p for name, choices in CHOICES.items() for p in choice_problems(name, getattr(request, name), choices)),
        *(p for name, limits in LIMITS.items() for p in number_problems(name, getattr(request, name), limits)),
    ]
    if not any(number_problems(name, getattr(request, name), LIMITS[name]) for name in ("width", "height")):
        problems += size_problems(request, model)
    if problems:
        raise InputError(" ".join(problems))


def text_problems(name: str, value: Any) -> list[str]:
    if not isinstance(value, str):
        return [f"{name} must be text, not {value!r}."]
    if name == "prompt" and not value.strip():
        return ["prompt is empty: say what the picture should show."]
    if len(value) > MAX_PROMPT_CHARACTERS:
        return [f"{name} has {len(value)} characters; at most {MAX_PROMPT_CHARACTERS} are accepted: shorten it."]
    if found := CONTROL_CHARACTERS.search(value):
        return [f"{name} contains the control character {ord(found[0]):#04x} at position {found.start()}: remove it."]
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return [f"{name} contains half a surrogate pair at position {error.start}: send valid Unicode."]
    return []


def choice_problems(name: str, value: Any, choices: tuple[str, ...]) -> list[str]:
    return [] if value in choices else [f"{name} is {value!r}; it must be one of {', '.join(choices)}."]


def number_problems(name: str, value: Any, limits: tuple[int, int]) -> list[str]:
    if value is None and name in OPTIONAL:
        return []
    low, high = limits
    whole = name not in FRACTIONAL
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != value // 1):
        return [f"{name} must be a {'whole ' if whole else ''}number from {low} to {high}, not {value!r}."]
    return [] if low <= value <= high else [f"{name} is {value}; it must be from {low} to {high}."]


def size_problems(request: Request, model: Model) -> list[str]:
    width, height = request.width, request.height
    if width is None and height is None:
        return []
    if width is None or height is None:
        given, missing = ("width", "height") if height is None else ("height", "width")
        return [f"{given} is given without {missing}: give both, or neither and an aspect_ratio."]
    snapped = snap(width, model.multiple), snap(height, model.multiple)
    area = snapped[0] * snapped[1]
    if model.min_area <= area <= model.max_area:
        return []
    return [
        f"width x height is {snapped[0]} x {snapped[1]} = {area} pixels (rounded to multiples of {model.multiple}); "
        f"{model.name} makes {model.min_area} to {model.max_area} pixels, "
        f"{square(model.min_area)} to {square(model.max_area)} when square."
    ]


def square(area: int) -> str:
    side = math.isqrt(area)
    return f"{side} x {side}"
