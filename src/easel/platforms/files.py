"""Reading the YAML files of the planner strictly: what is wrong is an error that names the key."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from easel.errors import InputError

MAX_BYTES = 1_000_000  # the largest is a profile of some thousand measured times


class Strict(BaseModel):
    """Base of what is read from a file: an unknown key, text for a number, or not a finite number is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Read = TypeVar("Read", bound=Strict)


def read_yaml(path: Path, kind: type[Read]) -> Read:
    """Return the file's content as `kind`. Raises InputError that names the file and each wrong key."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has over {MAX_BYTES:,} bytes, which is no {kind.__name__.lower()}.")
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())[:300]}") from None
    return parse(values, kind, str(path))


def parse(values: Any, kind: type[Read], where: str) -> Read:
    """Return plain values as `kind`. Raises InputError that says `where` and each wrong key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(map(explain, error.errors()[:5])) + ".") from None


def explain(error: Any) -> str:
    """Return pydantic's error as a phrase: key, what is wrong, and the value where it is short."""
    key = ".".join(map(str, error["loc"])) or "the file"
    given = repr(error["input"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" + (f", not {given}" if len(given) < 40 and error["type"] != "missing" else "")
