"""What a caller asked for, and every check of it. The truth; predict.py repeats it for Cog, a test holds them equal."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.models import Model
from easel.sizes import ASPECT_RATIOS, MATCH_INPUT_IMAGE, snap

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
    "prompt_strength": (0, 1),
}
CHOICES = {"aspect_ratio": (*ASPECT_RATIOS, MATCH_INPUT_IMAGE), "output_format": OUTPUT_FORMATS}
FRACTIONAL = (
    "guidance_scale",
    "prompt_strength",
)  # others are whole; 3.0 is as good as 3: JSON does not tell them apart
SWITCHES = ("go_fast", "disable_safety_checker")
OPTIONAL = ("width", "height", "num_inference_steps", "guidance_scale", "seed")  # None: not given
MAX_LORAS = 4
LORA_SCALES = (-2, 2)
MAX_TOKEN_CHARACTERS = 1000


@dataclass(frozen=True)
class Request:
    """The inputs of one run, by Replicate's names. None means "not given": the model or chance decides.

    `image` and `mask` are files; `lora_weights` are references as `weights.sources` reads them. The tokens are shown by
    no repr. Nothing is checked here: `check_request` does that for a model.
    """

    prompt: str
    negative_prompt: str = ""
    image: Path | None = None
    mask: Path | None = None
    prompt_strength: float = 0.8
    aspect_ratio: str = "1:1"
    width: int | None = None
    height: int | None = None
    num_outputs: int = 1
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    lora_weights: list[str] | None = None
    lora_scales: list[float] | None = None
    output_format: str = "webp"
    output_quality: int = 80
    go_fast: bool = False
    disable_safety_checker: bool = False
    hf_token: str | None = field(default=None, repr=False)
    civitai_token: str | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """Which of the model's pipelines it needs: text, image or inpaint."""
        return "text" if self.image is None else "image" if self.mask is None else "inpaint"


def make_request(inputs: Mapping[str, Any]) -> Request:
    """Return the request of inputs by their names. A secret is what it hides, where Cog hands one over."""
    return Request(**{name: reveal(value) for name, value in inputs.items()})


def reveal(value: Any) -> Any:
    """Return what one of pydantic's or Cog's secrets hides; any other value as it is."""
    get = getattr(value, "get_secret_value", None)
    return get() if get else value


def check_request(request: Request, model: Model) -> None:
    """Raise one InputError that names everything wrong with the request for this model."""
    problems = [
        *text_problems("prompt", request.prompt),
        *text_problems("negative_prompt", request.negative_prompt),
        *(p for name, choices in CHOICES.items() for p in choice_problems(name, getattr(request, name), choices)),
        *(p for name, limits in LIMITS.items() for p in number_problems(name, getattr(request, name), limits)),
        *image_problems(request, model),
        *lora_problems(request),
        *(p for name in ("hf_token", "civitai_token") for p in token_problems(name, getattr(request, name))),
    ]
    problems += [
        f"{name} must be true or false, not {getattr(request, name)!r}."
        for name in SWITCHES
        if not isinstance(getattr(request, name), bool)
    ]
    if not any(number_problems(name, getattr(request, name), LIMITS[name]) for name in ("width", "height")):
        problems += size_problems(request, model)
    if problems:
        raise InputError(" ".join(problems))


def text_problems(name: str, value: Any) -> list[str]:
    if not isinstance(value, str):
        return [f"{name} must be text, not {value!r}."]
    if name == "prompt" and not value.strip():
        return ["prompt is empty: say what the image should show."]
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


def image_problems(request: Request, model: Model) -> list[str]:
    problems = []
    for name in ("image", "mask"):
        value = getattr(request, name)
        if value is not None and not isinstance(value, Path):  # Cog makes a file of what it takes for a URL.
            problems.append(f"{name} must be a file as a data: URL or an https:// address, not {str(value)[:80]!r}.")
    if request.mask is not None and request.image is None:
        problems.append("mask is given without image: give the image that it belongs to.")
    elif request.kind not in model.pipelines:
        problems.append(f"{model.name} cannot work on an image: it makes images from the prompt alone.")
    if request.aspect_ratio == MATCH_INPUT_IMAGE and request.image is None:
        problems.append(
            f"aspect_ratio is {MATCH_INPUT_IMAGE}, but there is no image: give one, or a ratio such as 1:1."
        )
    return problems


def lora_problems(request: Request) -> list[str]:
    weights, scales = request.lora_weights, request.lora_scales
    if weights is not None and not (isinstance(weights, list) and all(isinstance(x, str) for x in weights)):
        return [f"lora_weights must be a list of texts, not {str(weights)[:80]!r}."]
    if scales is not None and not isinstance(scales, list):
        return [f"lora_scales must be a list of numbers, not {str(scales)[:80]!r}."]
    problems = []
    count = len(weights or [])
    if count > MAX_LORAS:
        problems.append(f"lora_weights names {count} LoRAs; at most {MAX_LORAS} are accepted.")
    for k, scale in enumerate((scales or [])[:MAX_LORAS]):
        low, high = LORA_SCALES
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not low <= scale <= high:
            problems.append(f"lora_scales[{k}] is {str(scale)[:80]}; it must be a number from {low} to {high}.")
    if scales and not count:
        problems.append("lora_scales is given without lora_weights: name the LoRAs that they are for.")
    elif scales and len(scales) not in (1, count):
        problems.append(
            f"lora_scales has {len(scales)} numbers for {count} LoRAs: give one for each, or a single one for all."
        )
    return problems


def token_problems(name: str, value: Any) -> list[str]:
    """Return what is wrong with a token, which itself appears in no message."""
    if value is None:
        return []
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]*", value) or len(value) > MAX_TOKEN_CHARACTERS:
        return [f"{name} must be text of at most {MAX_TOKEN_CHARACTERS} ASCII characters without spaces."]
    return []


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
