"""What is pushed and where to: a Cog file of this tree, and a model's image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from easel.errors import InputError
from easel.models import DEFAULT_MODEL, Model, load_model
from easel.weights.manifest import read_manifest

# USD per second, by the names that Replicate gives its hardware; docs/deploy.md has the same and says from when.
PRICES = {
    "cpu": 0.000100,
    "gpu-t4": 0.000225,
    "gpu-l40s": 0.000975,
    "gpu-a100-large": 0.001400,
    "gpu-h100": 0.001525,
}
STAGING = "-staging"


@dataclass(frozen=True)
class Target:
    """A model by the image that `cog push` takes: HOST/OWNER/NAME."""

    image: str

    @property
    def model(self) -> str:
        return "/".join(self.image.split("/")[-2:])

    @property
    def staging(self) -> "Target":
        return Target(self.image + STAGING)


@dataclass(frozen=True)
class CogFile:
    name: str
    model: Model
    gpu: bool
    sdk_version: str
    image: str | None

    @property
    def environment(self) -> dict[str, str]:
        """For `cog push`: without it, Cog installs the newest coglet beside the SDK that is pinned."""
        return {"COGLET_WHEEL": f"pypi:{self.sdk_version}"}

    def unpinned(self) -> list[str]:
        """Files of the model that are fetched, and not yet pinned by size and SHA-256."""
        return [file.path for file in read_manifest(self.model.folder).files if file.source and not file.is_pinned]

    def push_command(self, target: Target) -> list[str]:
        """A GPU's image begins from Python's: torch brings the CUDA that it runs with, CUDA's own image several GB."""
        smaller = ["--use-cuda-base-image=false"] if self.gpu else []
        return ["cog", "push", "-f", self.name, *smaller, target.image]

    def command_text(self, target: Target) -> str:
        """`cog push` as a person would type it."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join([*variables, *self.push_command(target)])


def parse_image(text: str) -> Target:
    parts = text.split("/")
    if len(parts) != 3 or not all(parts) or ":" in parts[2] or text != text.strip():
        raise InputError(f"IMAGE is HOST/OWNER/NAME without a tag, exactly as `cog push` takes it, and not {text!r}.")
    if parts[2].endswith(STAGING):
        raise InputError(f"{text} is a staging model: name the model itself. {STAGING} is appended for the steps 3, 4.")
    return Target(text)


def read_cog_file(root: Path, name: str) -> CogFile:
    if "/" in name or not (root / name).is_file():
        known = ", ".join(sorted(path.name for path in root.glob("cog*.yaml"))) or "none"
        raise InputError(f"-f {name}: there is no such Cog file in {root}. Those there: {known}.")
    try:
        values: Any = yaml.safe_load((root / name).read_text(encoding="utf-8"))
        build = values["build"]
        variables = dict(entry.split("=", 1) for entry in values.get("environment", []))
        sdk_version = str(build["sdk_version"])
        return CogFile(
            name=name,
            model=load_model(root / "weights" / variables.get("EASEL_MODEL", DEFAULT_MODEL)),
            gpu=bool(build.get("gpu")),
            sdk_version=sdk_version,
            image=values.get("image"),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{name} is not a Cog file with build.sdk_version ({error!r}).") from None
