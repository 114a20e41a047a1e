"""What is sent to a target: the caller's inputs, checked against its schema, another seed and number each time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.local.inputs import cast_inputs, encode_files, parse_inputs, read_json_inputs
from easel.platforms.http import members

MAX_SHOWN = 200  # characters of an input in the results
MAX_NUMBERED = 100_000  # characters: a longer one is a file
DEFAULT_PROMPT = "a red apple {n}"  # another for each request: a server keeps the embeddings of those it had
MakeInputs = Callable[[int], dict[str, Any]]


def given_inputs(pairs: list[str] | None, text: str | None, schema: dict[str, Any] | None) -> dict[str, Any]:
    """Return the inputs of a JSON text, or of `-i` pairs with a default prompt. Raises InputError."""
    try:
        if text is not None:
            return encode_files(read_json_inputs(text), Path(), schema)
        if schema is None:
            raise InputError("The target does not say which inputs it takes: give them by --json.")
        default = {"prompt": [DEFAULT_PROMPT]} if "prompt" in inputs_of(schema) else {}
        return cast_inputs(default | parse_inputs(pairs or []), schema)
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        raise InputError("What the target says of its inputs cannot be read: give them by --json.") from None


def shown_inputs(given: dict[str, Any], schema: dict[str, Any] | None) -> dict[str, Any]:
    """Return inputs fit for a file that is passed on: no secret, no whole image."""
    described = inputs_of(schema)

    def shown(name: str, value: Any) -> Any:
        if is_secret(described.get(name)):
            return "[REDACTED]"
        if isinstance(value, str) and len(value) > MAX_SHOWN:
            return f"{value[:MAX_SHOWN]}... ({len(value)} characters)"
        return [shown(name, one) for one in value] if isinstance(value, list) else value

    return {name: shown(name, value) for name, value in given.items()}


def inputs_maker(given: dict[str, Any], schema: dict[str, Any] | None, seed: int) -> MakeInputs:
    """Return what makes the inputs of request n: {n} in a text is its number, and its seed is the given one + n."""
    seeded = "seed" in given or "seed" in inputs_of(schema)
    first = given["seed"] if isinstance(given.get("seed"), int) else seed

    def make(number: int) -> dict[str, Any]:
        inputs = {
            name: value.replace("{n}", str(number)) if isinstance(value, str) and len(value) < MAX_NUMBERED else value
            for name, value in given.items()
        }
        return inputs | ({"seed": (first + number) % 2**32} if seeded else {})

    return make


def inputs_of(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Return the described inputs of an OpenAPI document, or none."""
    parts = members(members(members(schema).get("components")).get("schemas"))
    return members(members(parts.get("Input")).get("properties"))


def is_secret(described: Any) -> bool:
    return members(described).get("format") == "password" or bool(members(described).get("x-cog-secret"))
