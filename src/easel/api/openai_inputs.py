"""What OpenAI's images API is asked for, as the input of a model: by what its schema says that it takes."""

import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from easel.api.openai_errors import refused
from easel.api.problems import Problem
from easel.api.schemas import input_rules
from easel.api.validation import types_of
from easel.sizes import MATCH_INPUT_IMAGE

SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
FILE_NAMES = {"jpeg": ("jpeg", "jpg"), "png": ("png",), "webp": ("webp",)}  # what models call OpenAI's formats
Quality = Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"]


class ImageBody(BaseModel):
    """OpenAI's parameters; what else stands there is an input of the model's own."""

    model_config = ConfigDict(extra="allow")

    prompt: str
    model: Annotated[str, Field(max_length=300)] | None = None
    n: Annotated[int, Field(ge=1, le=10)] | None = None
    size: Annotated[str, Field(max_length=20)] | None = None
    quality: Quality | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png", "jpeg", "webp", "jpg"] | None = None  # jpg is Easel's own
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    background: Literal["opaque", "auto", "transparent"] | None = None
    moderation: Literal["low", "auto"] | None = None
    user: Annotated[str, Field(max_length=1000)] | None = None  # neither is kept
    safety_identifier: Annotated[str, Field(max_length=1000)] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None

    @property
    def format(self) -> str:
        """OpenAI's name of the format of the files: png unless another one is asked for, as with OpenAI."""
        return "jpeg" if self.output_format == "jpg" else self.output_format or "png"

    @property
    def made_quality(self) -> str:
        """OpenAI's name of the quality that is made: a model has its own, and perhaps a faster one."""
        return "low" if self.quality == "low" else "medium"

    @property
    def previews(self) -> int:
        return self.partial_images or 0 if self.stream else 0


def model_input(body: ImageBody, own: dict[str, Any], document: dict[str, Any], from_image: bool) -> dict[str, Any]:
    """Return the input for a model with this schema; `own` are its own inputs, which go before OpenAI's.

    Raises Problem (400) for what the model cannot do.
    """
    rules = input_rules(document).get("properties", {})
    if "prompt" not in rules:
        raise refused("model", "This model takes no prompt. Name one that makes images of a text.")
    if body.background == "transparent":
        raise refused("background", "background must be opaque or auto: no model here makes transparent images.")
    if body.partial_images and not body.stream:
        raise refused("partial_images", "partial_images needs stream: true.")
    for name in own:
        if name not in rules:
            raise Problem(
                400,
                f"Unknown parameter: {name[:100]!r}. It is none of OpenAI's that are known here, and no input of this "
                f"model, which has {', '.join(sorted(rules))[:2000]}.",
                param=name[:100],
                code="unknown_parameter",
            )
    found: dict[str, Any] = {"prompt": body.prompt}
    found |= count_input(body, rules) | size_input(body, rules, from_image) | file_input(body, rules)
    if body.quality == "low" and "go_fast" in rules:
        found["go_fast"] = True
    if own.keys() & {"aspect_ratio", "width", "height"}:
        found.pop("aspect_ratio", None)
    return found | own


def count_input(body: ImageBody, rules: dict[str, Any]) -> dict[str, Any]:
    most = rules["num_outputs"].get("maximum", 10) if "num_outputs" in rules else 1
    if (body.n or 1) > most:
        raise refused("n", f"n must be from 1 to {most} with this model, not {body.n}.")
    return {"num_outputs": body.n} if body.n and "num_outputs" in rules else {}


def size_input(body: ImageBody, rules: dict[str, Any], from_image: bool) -> dict[str, Any]:
    ratios = choices(rules.get("aspect_ratio", {}))
    if body.size in (None, "auto"):
        return {"aspect_ratio": MATCH_INPUT_IMAGE} if from_image and MATCH_INPUT_IMAGE in ratios else {}
    found = SIZE.fullmatch(body.size or "")
    if not found:
        raise refused("size", f"size must be auto or WIDTHxHEIGHT in pixels, such as 1024x1024, not {body.size!r}.")
    width, height = int(found[1]), int(found[2])
    if rules.keys() >= {"width", "height"}:
        return {"width": width, "height": height}
    divisor = math.gcd(width, height)
    if (ratio := f"{width // divisor}:{height // divisor}") in ratios:
        return {"aspect_ratio": ratio}
    raise refused("size", f"size must be auto with this model, or in a ratio of {', '.join(ratios) or 'its own'}.")


def file_input(body: ImageBody, rules: dict[str, Any]) -> dict[str, Any]:
    if body.format == "png" and body.output_compression not in (None, 100):
        raise refused("output_compression", "output_compression is for webp and jpeg. Set output_format as well.")
    found: dict[str, Any] = {}
    names = choices(rules.get("output_format", {}))
    name = next((one for one in FILE_NAMES[body.format] if one in names), None)
    if name:
        found["output_format"] = name
    elif body.output_format:
        raise refused("output_format", f"output_format must be {' or '.join(names) or 'left out'} with this model.")
    if "output_quality" in rules:
        found["output_quality"] = (
            100 if body.output_compression is None else body.output_compression
        )  # OpenAI's default
    elif body.output_compression not in (None, 100):
        raise refused("output_compression", "This model's files have one quality: leave output_compression out.")
    return found


def choices(rule: dict[str, Any]) -> list[str]:
    """Return the values that a part of a schema allows, if it says which."""
    parts = [rule, *rule.get("allOf", ())]
    return [one for part in parts for one in part.get("enum", ()) if isinstance(one, str)]


def typed(name: str, value: str, rules: dict[str, Any]) -> Any:
    """Return a field of a form, which is text, as the type that the schema wants for it; or as it is."""
    kinds = types_of(rules.get(name, {}))
    if kinds and "string" not in kinds:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value  # for the check by the schema to refuse
    return value
