"""What Cog can publish about a runner: its inputs, their types and limits, and what contradicts itself among them.

The rules are mostly those of the Cog SDK (cog 0.23.1, `_inspector.py`), which its own server no longer runs: it starts
with a default outside its limits or a limit on a text, and callers get what was never meant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from easel.errors import EaselError

NO_DEFAULT = object()  # `None` is a default like any other

NUMBER_TYPES = frozenset({"int", "float"})
OUTPUT_TYPES = frozenset({"str", "int", "float", "bool", "Path"})
INPUT_TYPES = OUTPUT_TYPES | {"Secret"}
LIMITS = ("ge", "le", "min_length", "max_length")

# Above this a limit gets rounded: Cog turns every limit into a float64, and so does a caller in JavaScript.
LARGEST_EXACT = 2**53

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


class SchemaError(EaselError):
    """`predict.py` or `train.py` holds something that Cog would drop, misread or refuse. One line a problem."""


@dataclass(frozen=True)
class ValueType:
    """The type of an input or of the output: `name`, in a `list[...]` when `many`, with `| None` when `optional`."""

    name: str
    many: bool = False
    optional: bool = False

    def __str__(self) -> str:
        return f"list[{self.name}]" if self.many else self.name

    def holds(self, value: object) -> bool:
        """Return whether one literal can stand here. `True` is no number, and no literal is a Path or a Secret."""
        if self.name != "bool" and isinstance(value, bool):
            return False
        return isinstance(value, _PYTHON_TYPES.get(self.name, ()))


@dataclass(frozen=True)
class RunnerInput:
    """One parameter of `run()`."""

    name: str
    type: ValueType
    description: str = ""
    default: object = NO_DEFAULT
    ge: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    regex: str | None = None
    choices: tuple[str | int, ...] | None = None
    deprecated: bool = False
    accept: str | None = None

    @property
    def required(self) -> bool:
        return self.default is NO_DEFAULT and not self.type.optional


@dataclass(frozen=True)
class Runner:
    """The class in `predict.py` that Cog runs. `inputs` keep the order of the signature; Cog calls it x-order."""

    name: str
    inputs: tuple[RunnerInput, ...]
    output: ValueType


@dataclass(frozen=True)
class Trainer:
    """The function `train` in `train.py`. `output`: the fields of the BaseModel that it returns, by their names."""

    inputs: tuple[RunnerInput, ...]
    output: dict[str, ValueType]


def contradictions(item: RunnerInput) -> Iterator[tuple[str, str]]:
    """Yield (keyword of Input, sentence) for what is wrong with an input.

    Take the first: the later ones build on it.
    """
    if not isinstance(item.description, str) or not item.description.strip():
        yield "description", "describe it with description=...; callers read that on the model's page"
    if not isinstance(item.deprecated, bool):
        yield "deprecated", "deprecated must be True or False"
    if item.accept is not None and (not isinstance(item.accept, str) or item.type.name != "Path"):
        yield "accept", 'accept must be a text such as "image/*", on a Path'
    yield from _wrong_limits(item)
    yield from _wrong_regex(item)
    yield from _wrong_choices(item)
    yield from _wrong_default(item)


def _wrong_limits(item: RunnerInput) -> Iterator[tuple[str, str]]:
    for key in LIMITS:
        limit = getattr(item, key)
        if limit is None:
            continue
        numeric = key in ("ge", "le")
        if not ValueType("float" if numeric else "int").holds(limit) or (not numeric and limit < 0):
            yield key, f"{key} must be {'a number' if numeric else 'a whole number from 0'}"
        if abs(limit) > LARGEST_EXACT:
            yield key, f"{key} is beyond 2**53, where Cog and callers in JavaScript round it"
        if item.type.many or item.type.name not in (NUMBER_TYPES if numeric else {"str"}):
            yield key, f"{key} has no effect on {item.type}; leave it out and check the value in src/easel/request.py"
    for low, high in (("ge", "le"), ("min_length", "max_length")):
        if _below(getattr(item, high), getattr(item, low)):
            yield low, f"{low} is above {high}"


def _wrong_regex(item: RunnerInput) -> Iterator[tuple[str, str]]:
    if item.regex is None:
        return
    if not isinstance(item.regex, str) or item.type.many or item.type.name != "str":
        yield "regex", "regex must be a text, on a str"
    try:
        re.compile(item.regex)
    except re.error as error:
        yield "regex", f"regex is not a regular expression: {error}"


def _wrong_choices(item: RunnerInput) -> Iterator[tuple[str, str]]:
    if item.choices is None:
        return
    if not isinstance(item.choices, tuple):
        yield "choices", "choices must be a list"
    if item.type.many or item.type.name not in ("str", "int"):
        yield "choices", f"choices are for str and int, not for {item.type}"
    if not all(item.type.holds(choice) for choice in item.choices):
        yield "choices", f"every choice must be of type {item.type}"
    if len(set(item.choices)) < max(2, len(item.choices)):
        yield "choices", "choices must be two or more, each once"
    if any(getattr(item, key) is not None for key in LIMITS):
        yield "choices", "the choices are the limit; leave the other one out"


def _wrong_default(item: RunnerInput) -> Iterator[tuple[str, str]]:
    default = item.default
    if default is NO_DEFAULT:
        return
    if default is None:
        if not item.type.optional:
            yield "default", f"Cog makes an input with default=None required; write {item.type} | None, or drop it"
        return
    values = default if isinstance(default, list) else [default]
    if isinstance(default, list) is not item.type.many or not all(item.type.holds(value) for value in values):
        yield "default", f"default {default!r} is not of type {item.type}"
    if item.choices and default not in item.choices:
        yield "default", f"default {default!r} is not one of the choices"
    if isinstance(default, int | float) and (_below(default, item.ge) or _below(item.le, default)):
        yield "default", f"default {default!r} is outside ge and le"
    if isinstance(default, str):
        if _below(len(default), item.min_length) or _below(item.max_length, len(default)):
            yield "default", f"default {default!r} is outside min_length and max_length"
        if item.regex is not None and not re.match(item.regex, default):
            yield "default", f"default {default!r} does not match regex"


def _below(value: float | None, bound: float | None) -> bool:
    return value is not None and bound is not None and value < bound
