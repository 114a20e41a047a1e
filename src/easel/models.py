"""A model is a folder of data, `weights/<name>/`; this is what its hand-written `model.yaml` says."""

from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import yaml

from easel.errors import WeightsError

DEFAULT_MODEL = "emoji"  # The one that needs no download.
KINDS = ("text", "image", "inpaint")  # of requests: by the prompt alone, from an image, inside a mask on an image


@dataclass(frozen=True)
class Model:
    """One text-to-image model.

    Sizes are in pixels, areas in square pixels, both of the picture. `pipelines` names the diffusers class for each
    kind of request (`text`, and `image` and `inpaint` where the model has them), `dtype` the number type of each
    component (or of `default`). `safety_checker` is None, or names the `folder` of an image classifier of transformers
    inside the model's folder and the `blocked_label` among its labels.
    """

    name: str
    title: str
    license: str
    source: str
    pipelines: dict[str, str]
    dtype: dict[str, str]
    num_inference_steps: int
    guidance_scale: float
    native_area: int
    min_area: int
    max_area: int
    multiple: int
    max_prompt_tokens: int
    safety_checker: dict[str, str] | None
    folder: Path


def load_model(folder: Path) -> Model:
    """Read `folder/model.yaml`, strictly: an unknown, missing or ill-typed key is a WeightsError that names it."""
    path = folder / "model.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.parent.name for p in folder.parent.glob("*/model.yaml"))) or "none"
        raise WeightsError(f"There is no model {folder.name!r}: {path} does not exist. Models here: {known}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path} must hold keys and values.")
    problems = key_problems(values)
    if not problems and values["name"] != folder.name:
        problems = [f"name is {values['name']!r}, but the folder is {folder.name!r}"]
    if problems:
        raise WeightsError(f"{path}: " + "; ".join(problems) + ".")
    frozen = {key: MappingProxyType(value) if isinstance(value, dict) else value for key, value in values.items()}
    return Model(**frozen, folder=folder)


def key_problems(values: dict[str, Any]) -> list[str]:
    """Everything that is wrong with the keys of a model.yaml, each as a phrase."""
    types = get_type_hints(Model)
    expected = [field.name for field in fields(Model) if field.name != "folder"]
    problems = [f"unknown key {key!r}" for key in values if key not in expected]
    for key in expected:
        if key not in values:
            problems.append(f"missing key {key!r}")
        elif not is_a(values[key], types[key]):
            problems.append(f"{key} must be {described(types[key])}, not {values[key]!r}")
    return problems or value_problems(values)


def value_problems(values: dict[str, Any]) -> list[str]:
    """What contradicts itself although every key has its type."""
    problems = []
    if "text" not in values["pipelines"] or "default" not in values["dtype"]:
        problems.append("pipelines needs the key 'text' and dtype the key 'default'")
    problems += [f"pipelines has the unknown key {kind!r}" for kind in values["pipelines"] if kind not in KINDS]
    checker = values["safety_checker"]
    if checker is not None and set(checker) != {"folder", "blocked_label"}:
        problems.append("safety_checker must be null or have the keys 'folder' and 'blocked_label'")
    if not 0 < values["min_area"] <= values["native_area"] <= values["max_area"]:
        problems.append("min_area, native_area and max_area must be above 0 and in this order")
    if min(values["multiple"], values["num_inference_steps"], values["max_prompt_tokens"]) < 1:
        problems.append("multiple, num_inference_steps and max_prompt_tokens must be at least 1")
    if not 0 <= values["guidance_scale"] < float("inf"):
        problems.append("guidance_scale must be 0 or more")
    return problems


def described(kind: Any) -> str:
    if kind == dict[str, str] | None:
        return "null or a mapping of text to text"
    return "a mapping of text to text" if kind == dict[str, str] else f"of type {kind.__name__}"


def is_a(value: Any, kind: Any) -> bool:
    if kind == dict[str, str] | None:
        return value is None or is_a(value, dict[str, str])
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == dict[str, str]:
        return isinstance(value, dict) and all(isinstance(x, str) for item in value.items() for x in item)
    return isinstance(value, kind) and not isinstance(value, bool)
