"""A model is a folder of data, `weights/<name>/`; this is what its hand-written `model.yaml` says."""

from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from easel.errors import WeightsError

DEFAULT_MODEL = "emoji"  # The one that needs no download.
KINDS = ("text", "image", "inpaint")  # of requests: by the prompt alone, from an image, inside a mask on an image

DEVICES = ("cuda", "cpu")
MEMORY_MODES = ("resident", "turns", "float8")  # from most memory to least, see inference/memory.py
NAMES_OF_TYPES = {
    dict[str, str]: "a mapping of text to text",
    dict[str, str] | None: "null or a mapping of text to text",
    dict[str, list[str]]: "a mapping of text to lists of text",
    dict[str, int] | None: "null or a mapping of text to whole numbers",
    dict[str, float] | None: "null or a mapping of text to numbers",
    dict[str, Any]: "a mapping",
    dict[str, Any] | None: "null or a mapping",
}


@dataclass(frozen=True)
class Model:
    """One text-to-image model.

    Sizes are in pixels, areas in square pixels, both of the image. `pipelines` names the diffusers class for each
    kind of request (`text`, and `image` and `inpaint` where the model has them), `dtype` the number type of each
    component (or of `default`). `safety_checker` is None, or names the `folder` of an image classifier of transformers
    inside the model's folder and the `blocked_label` among its labels. `skip` names, for each component, modules whose
    result the pipeline never reads: their tensors are not loaded. `go_fast` is None, or says with how many
    `exact_passes` of the transformer that input begins. `attention` names diffusers' attention back ends, best first,
    by CUDA compute capability ("9.0"), or for "cpu". `memory_modes` is None, or the free memory that each mode of
    inference/memory.py needs at the native area, in 10^9 bytes. `hardware` is what it needs: `device` (cuda or cpu) and
    `memory_gb`, in 10^9 bytes of that device's memory. `preview` is None, or names in the model's folder what makes
    small images of unfinished latents: the file of a `linear` map, or the folder of an `autoencoder` (diffusers'
    AutoencoderTiny), which need not be there. `training` is None, or has what a training takes where its caller is
    silent (`steps`, `learning_rate`, `batch_size`, `resolution`); `preserve`, prompts that must go on being drawn as
    they are; `adapter`: None, or the `source`, `size` and `digest` of the LoRA without which a distilled
    model must not be trained; and `measure`: the Hub's repository of the DINOv2 model that its report compares images
    by, or None for their pixels.
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
    skip: dict[str, list[str]]
    go_fast: dict[str, int] | None
    attention: dict[str, list[str]]
    memory_modes: dict[str, float] | None
    hardware: dict[str, Any]
    preview: dict[str, str] | None
    training: dict[str, Any] | None
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
    frozen: dict[str, Any] = {
        key: MappingProxyType(value) if isinstance(value, dict) else value for key, value in values.items()
    }
    return Model(**frozen, folder=folder)


def key_problems(values: dict[str, Any]) -> list[str]:
    """Everything that is wrong with the keys of a model.yaml, each as a phrase."""
    types = get_type_hints(Model)
    expected = [field.name for field in fields(Model) if field.name != "folder"]
    problems = [f"unknown key {key!r}" for key in values if key not in expected]
    for key in expected:
        if key not in values:
            problems.append(f"missing key {key!r}")
        elif not matches_type(values[key], types[key]):
            problems.append(f"{key} must be {type_name(types[key])}, not {values[key]!r}")
    return problems or value_problems(values)


def value_problems(values: dict[str, Any]) -> list[str]:
    """Return what contradicts itself although every key has its type."""
    problems = []
    if "text" not in values["pipelines"] or "default" not in values["dtype"]:
        problems.append("pipelines needs the key 'text' and dtype the key 'default'")
    problems += [f"pipelines has the unknown key {kind!r}" for kind in values["pipelines"] if kind not in KINDS]
    checker = values["safety_checker"]
    if checker is not None and set(checker) != {"folder", "blocked_label"}:
        problems.append("safety_checker must be null or have the keys 'folder' and 'blocked_label'")
    fast = values["go_fast"]
    if fast is not None and (set(fast) != {"exact_passes"} or fast["exact_passes"] < 2):
        problems.append("go_fast must be null or have the key 'exact_passes', at least 2")
    modes = values["memory_modes"]
    if modes is not None and not (modes and set(modes) <= set(MEMORY_MODES) and all(map(positive, modes.values()))):
        problems.append(f"memory_modes must be null or have some of the keys {', '.join(MEMORY_MODES)}, each above 0")
    if values["preview"] is not None and set(values["preview"]) not in ({"linear"}, {"autoencoder"}):
        problems.append("preview must be null or have one key, 'linear' or 'autoencoder'")
    training = values["training"]
    if training is not None:
        problems += training_problems(training)
    hardware = values["hardware"]
    if (
        set(hardware) != {"device", "memory_gb"}
        or hardware["device"] not in DEVICES
        or not positive(hardware["memory_gb"])
    ):
        problems.append("hardware must have a device (cuda or cpu) and memory_gb, a number above 0")
    if not 0 < values["min_area"] <= values["native_area"] <= values["max_area"]:
        problems.append("min_area, native_area and max_area must be above 0 and in this order")
    if min(values["multiple"], values["num_inference_steps"], values["max_prompt_tokens"]) < 1:
        problems.append("multiple, num_inference_steps and max_prompt_tokens must be at least 1")
    if not 0 <= values["guidance_scale"] < float("inf"):
        problems.append("guidance_scale must be 0 or more")
    return problems


def training_problems(training: dict[str, Any]) -> list[str]:
    kinds = {
        "steps": int,
        "learning_rate": float,
        "batch_size": int,
        "resolution": str,
        "preserve": list[str],
        "adapter": dict[str, Any] | None,
        "measure": str | None,
    }
    if set(training) != set(kinds) or not all(matches_type(training[key], kind) for key, kind in kinds.items()):
        return [f"training must be null or have the keys {', '.join(kinds)}"]
    if training["adapter"] is not None and set(training["adapter"]) != {"source", "size", "digest"}:
        return ["training's adapter must be null or have the keys source, size and digest"]
    return []


def positive(value: Any) -> bool:
    return matches_type(value, float) and 0 < value < float("inf")


def type_name(kind: Any) -> str:
    return NAMES_OF_TYPES.get(kind) or f"of type {kind.__name__}"


def matches_type(value: Any, kind: Any) -> bool:
    """Return whether a value of YAML is of this type; an int also is a float, a bool only a bool."""
    if get_origin(kind) is UnionType:
        return any(matches_type(value, one) for one in get_args(kind))
    if get_origin(kind) is dict:
        of_key, of_value = get_args(kind)
        return isinstance(value, dict) and all(
            matches_type(k, of_key) and matches_type(v, of_value) for k, v in value.items()
        )
    if get_origin(kind) is list:
        return isinstance(value, list) and all(matches_type(one, *get_args(kind)) for one in value)
    if kind is Any or kind is bool:
        return kind is Any or isinstance(value, bool)
    return isinstance(value, int | float if kind is float else kind) and not isinstance(value, bool)
