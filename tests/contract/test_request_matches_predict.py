"""The inputs stand in `predict.py`, in `openapi.json` and in `request.py`; all three say the same."""

import json
import math
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import NoneType
from typing import get_args, get_type_hints

import pytest
from cog import Secret

from easel.errors import InputError
from easel.images.formats import BRANDS, SIGNATURES
from easel.request import (
    CHOICES,
    FRACTIONAL,
    LIMITS,
    MAX_PROMPT_CHARACTERS,
    SWITCHES,
    Request,
    check_request,
    make_request,
)
from easel.schema.inputs import NO_DEFAULT
from easel.schema.openapi import read_runner
from tests.support.tiny import MODEL

ROOT = Path(__file__).resolve().parents[2]
RUNNER = {item.name: item for item in read_runner(ROOT / "predict.py").inputs}
SCHEMAS = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
PUBLISHED = SCHEMAS["Input"]["properties"]
REQUEST = {field.name: field for field in fields(Request)}
TYPES = get_type_hints(Request)
TEXTS = ("prompt", "negative_prompt")
FILES = ("image", "mask")  # Cog hands them on as files, made of what it takes for a URL
SECRETS = ("hf_token", "civitai_token")  # wrapped by Cog, so that nothing prints them
LISTS = ("lora_weights", "lora_scales")  # of whose items a schema's limits are not checked by Cog
JSON_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list}
OPTIONAL = tuple(name for name in REQUEST if NoneType in get_args(TYPES[name]))
ANY_SIZE = replace(MODEL, max_area=2048**2)  # its own limits of area never strike


def published(name):
    """One input of `openapi.json`, with what stands behind its reference."""
    described = dict(PUBLISHED[name])
    for reference in described.pop("allOf", []):
        described |= {k: v for k, v in SCHEMAS[reference["$ref"].rsplit("/", 1)[-1]].items() if k in ("type", "enum")}
    return described


def schema_accepts(name, value):
    """JSON Schema's answer, for the keywords that our inputs use; a test below keeps this list whole."""
    described = published(name)
    if value is None:
        return described.get("nullable", False)
    kind = described["type"]
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    if kind == "array":
        item = JSON_TYPES[described["items"]["type"]]
        return isinstance(value, list) and all(isinstance(one, int | float if item is float else item) for one in value)
    if not isinstance(value, str if kind == "string" else int | float):
        return False
    if kind == "integer" and value % 1 != 0:
        return False
    if "enum" in described and value not in described["enum"]:
        return False
    size = len(value) if kind == "string" else value
    low, high = ("minLength", "maxLength") if kind == "string" else ("minimum", "maximum")
    return described.get(low, -math.inf) <= size <= described.get(high, math.inf)


def check_accepts(name, value):
    others = {}
    if name in ("width", "height") and value is not None:
        others = {"width": 1024, "height": 1024}
    if name == "mask" or value == "match_input_image":
        others = {"image": Path("image.png")}
    if name == "lora_scales" and value is not None:
        others = {"lora_weights": ["owner/name"]}
    value = Path(value) if name in FILES and isinstance(value, str) else value  # as Cog does
    try:
        check_request(Request(**{"prompt": "a red apple", **others, name: value}), ANY_SIZE)
    except InputError:
        return False
    return True


def beyond(name, limit, direction):
    """The nearest value outside of a limit; for a fractional number also the nearest whole one."""
    near = [math.nextafter(limit, limit + direction)] if name in FRACTIONAL else []
    return [*near, limit + direction]


def edges():
    for name, (low, high) in LIMITS.items():
        yield from ((name, limit, True) for limit in (low, high, float(low), float(high)))
        yield from ((name, value, False) for value in (*beyond(name, low, -1), *beyond(name, high, 1)))
    for name in TEXTS:
        for letter in ("x", "\N{RED APPLE}"):  # length is counted in characters, not in bytes
            yield name, letter * MAX_PROMPT_CHARACTERS, True
            yield name, letter * (MAX_PROMPT_CHARACTERS + 1), False
    yield from [("prompt", "x", True), ("prompt", "", False), ("negative_prompt", "", True)]
    for name, choices in CHOICES.items():
        yield from ((name, choice, True) for choice in choices)
        yield from ((name, choice, False) for choice in ("", choices[0] + " ", choices[0].upper() + "0"))
    for name in REQUEST:
        yield name, None, name in OPTIONAL
        yield name, True, TYPES[name] is bool
        yield name, 7 if name in (*TEXTS, *CHOICES, *FILES, *SECRETS) else "7", False
    yield from (
        (name, value, accepted) for name in LISTS for value, accepted in [([], True), ("x", False), ([[]], False)]
    )
    yield from [("lora_weights", ["owner/name"], True), ("lora_weights", [7], False), ("lora_weights", [None], False)]
    yield from [("lora_scales", [0.5], True), ("lora_scales", [-2], True), ("lora_scales", ["1"], False)]
    yield from ((name, "hf_abc", True) for name in SECRETS)
    yield from ((name, "data:image/png;base64,", True) for name in FILES)
    yield from ((name, LIMITS[name][0] + 0.5, name in FRACTIONAL) for name in LIMITS)


def test_names_and_order_are_the_same():
    assert list(REQUEST) == list(RUNNER) == list(PUBLISHED)
    assert [described["x-order"] for described in PUBLISHED.values()] == list(range(len(REQUEST)))


@pytest.mark.parametrize("name", REQUEST)
def test_default_is_the_same(name):
    default = REQUEST[name].default
    if default is MISSING:
        assert RUNNER[name].default is NO_DEFAULT
        assert "default" not in PUBLISHED[name]
    else:
        for other in (RUNNER[name].default, PUBLISHED[name]["default"]):
            assert (other, type(other)) == (default, type(default))


def test_required_inputs_are_the_same():
    required = [name for name, field in REQUEST.items() if field.default is MISSING]
    assert required == [name for name, item in RUNNER.items() if item.required] == SCHEMAS["Input"]["required"]


@pytest.mark.parametrize("name", REQUEST)
def test_type_is_the_same(name):
    written = str(RUNNER[name].type).removesuffix(" | None")
    described = published(name)
    if name in LISTS:
        assert TYPES[name] == {"list[str]": list[str] | None, "list[float]": list[float] | None}[written]
        assert (described["type"], [JSON_TYPES[described["items"]["type"]]]) == ("array", [get_args(list_of(name))[0]])
        return
    (kind,) = set(get_args(TYPES[name]) or [TYPES[name]]) - {NoneType}
    assert written == ("Secret" if name in SECRETS else kind.__name__)
    assert JSON_TYPES[described["type"]] is (str if kind is Path else kind)
    assert described.get("format") == ("uri" if name in FILES else "password" if name in SECRETS else None)
    assert described.get("x-cog-secret", False) == (name in SECRETS)
    assert (kind is float) == (name in FRACTIONAL)


def list_of(name):
    return next(kind for kind in get_args(TYPES[name]) if kind is not NoneType)


@pytest.mark.parametrize("name", REQUEST)
def test_optionality_is_the_same(name):
    optional = name in OPTIONAL
    assert (NoneType in get_args(TYPES[name])) == optional
    assert RUNNER[name].type.optional == optional
    assert published(name).get("nullable", False) == optional
    assert (REQUEST[name].default is None) == optional


@pytest.mark.parametrize("name", REQUEST)
def test_limits_are_the_same(name):
    limits = LIMITS.get(name, (None, None))
    assert (RUNNER[name].ge, RUNNER[name].le) == limits
    assert (published(name).get("minimum"), published(name).get("maximum")) == limits


@pytest.mark.parametrize("name", REQUEST)
def test_lengths_are_the_same(name):
    lengths = {"prompt": (1, MAX_PROMPT_CHARACTERS), "negative_prompt": (None, MAX_PROMPT_CHARACTERS)}
    expected = lengths.get(name, (None, None))
    assert (RUNNER[name].min_length, RUNNER[name].max_length) == expected
    assert (published(name).get("minLength"), published(name).get("maxLength")) == expected


@pytest.mark.parametrize("name", REQUEST)
def test_choices_are_the_same(name):
    choices = CHOICES.get(name)
    assert RUNNER[name].choices == choices
    assert published(name).get("enum") == (list(choices) if choices else None)


def test_every_input_has_a_check():
    assert {*TEXTS, *CHOICES, *LIMITS, *FILES, *SECRETS, *LISTS, *SWITCHES} == set(REQUEST)


def test_schema_says_nothing_that_this_test_does_not_read():
    read = {"type", "enum", "nullable", "default", "minimum", "maximum", "minLength", "maxLength", "items", "format"}
    unread = {key for name in PUBLISHED for key in published(name)} - read - {"x-cog-secret", "writeOnly"}
    unread.discard("x-cog-accept")  # a hint for file pickers, compared below
    assert unread == {"title", "description", "x-order"}


@pytest.mark.parametrize("name", FILES)
def test_file_pickers_are_told_of_every_format_that_is_accepted(name):
    kinds = {kind for _, _, kind in SIGNATURES if " " not in kind} | set(BRANDS.values())
    wanted = {f"image/{kind.lower()}" for kind in kinds} | {"image/heif"}
    assert set(published(name)["x-cog-accept"].split(",")) == wanted


@pytest.mark.parametrize(("name", "value", "accepted"), list(edges()), ids=lambda part: ascii(part)[:24])
def test_schema_and_check_agree_at_every_edge(name, value, accepted):
    assert (schema_accepts(name, value), check_accepts(name, value)) == (accepted, accepted)


def test_a_request_is_made_of_the_inputs_by_their_names_and_of_what_secrets_hide():
    request = make_request({"prompt": "a dog", "seed": 0, "hf_token": Secret("hf_1"), "civitai_token": None})
    assert request == Request("a dog", seed=0, hf_token="hf_1")
