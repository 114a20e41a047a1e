"""Inputs as `cog run` (once `cog predict`) takes them, and more, cast to what a server's OpenAPI document asks for."""

import base64
import json
import math
import mimetypes
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from easel.errors import InputError

ADDRESSES = ("@", "http://", "https://", "data:")  # how a value for a file begins


def parse_inputs(pairs: Sequence[str]) -> dict[str, list[str]]:
    """`name=value` arguments as {name: values}; one pair of double quotes around a value is dropped, as Cog does."""
    inputs: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"-i {pair}: expected name=value, as in -i seed=7.")
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        inputs.setdefault(name, []).append(value)
    return inputs


def read_json_inputs(text: str) -> dict[str, Any]:
    """Return the value of `--json`: an object, or `@file` or `@-` (standard input) that holds one."""
    source = text if text.startswith("@") else "--json"
    if text == "@-":
        content: str | bytes = sys.stdin.read()
    else:
        content = read_argument("--json", text[1:], Path()) if source == text else text
    try:
        inputs = json.loads(content)
    except ValueError as error:
        raise InputError(f"{source}: not JSON ({error}). Give an object, @file or @- for standard input.") from None
    if not isinstance(inputs, dict):
        raise InputError(f'{source}: expected an object of inputs, as in {{"prompt": "a red apple"}}.')
    return inputs


def cast_inputs(inputs: Mapping[str, list[str]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Texts from `-i` as the JSON types of the server's OpenAPI document, which takes no text for a number."""
    check_names(inputs, schema)
    parts = schema["components"]["schemas"]
    values, problems = {}, []
    for name, texts in inputs.items():
        try:
            values[name] = cast_texts(name, texts, parts["Input"]["properties"][name], parts)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return values


def check_names(inputs: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Refuse what the server would drop without a word, and what it would ask for only after loading the model."""
    known = schema["components"]["schemas"]["Input"]
    allowed = known.get("properties", {})
    problems = [f"There is no input {name!r}." for name in inputs if name not in allowed]
    problems += [f"The input {name!r} is missing." for name in known.get("required", []) if name not in inputs]
    if problems:
        raise InputError("\n".join([*problems, f"This model takes: {', '.join(allowed)}."]))


def cast_texts(name: str, texts: list[str], described: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """Return all values given for one name; a list may be one JSON list or the name repeated."""
    described = resolve_type(described, parts)
    if described.get("type") != "array":
        if len(texts) > 1:
            raise InputError(f"{name}: given {len(texts)} times, but it takes one value.")
        if is_text(described):
            return read_text(name, texts[0][1:], Path()) if texts[0].startswith("@") else texts[0]
        check_address(name, texts[0], described)
        return cast_text(name, texts[0], described.get("type"))
    if len(texts) == 1 and texts[0].startswith("["):
        return cast_text(name, texts[0], "array")
    item_type = resolve_type(described.get("items", {}), parts).get("type")
    return [cast_text(name, text, item_type) for text in texts]


def resolve_type(described: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of an OpenAPI description that holds its `type`: choices stand behind a `$ref`, optionals in
    `anyOf`.
    """
    if "$ref" in described:
        return resolve_type(parts[described["$ref"].rsplit("/", 1)[-1]], parts)
    options = [option for key in ("allOf", "anyOf", "oneOf") for option in described.get(key, [])]
    found = [resolve_type(option, parts) for option in options]
    return next((option for option in found if option.get("type", "null") != "null"), described)


def is_text(described: Mapping[str, Any]) -> bool:
    """Return whether an input takes a text, such as a prompt, and not a file's address.

    A list's items may be either.
    """
    return described.get("type") == "string" and described.get("format") != "uri"


def check_address(name: str, value: Any, described: Mapping[str, Any]) -> None:
    """Refuse a file's path where its address is wanted: the server would say so only when the model is loaded."""
    if described.get("format") != "uri" or not isinstance(value, str) or value.startswith(ADDRESSES):
        return
    there = Path(value).expanduser().is_file()
    raise InputError(
        f"{name}: {value[:80]!r} is not a URL. Write {name}=@{value[:80]} to send that file."
        if there
        else f"{name}: {value[:80]!r} must be @ and the path of a file, an https:// address or a data: URL."
    )


def cast_text(name: str, text: str, json_type: str | None) -> Any:
    if text.startswith("@"):
        return encode_file(name, text[1:], Path())
    try:
        match json_type:
            case "integer":
                return int(text)
            case "number":
                return parse_number(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "array" | "object":
                return json.loads(text)
            case _:
                return text
    except (ValueError, KeyError):
        wanted = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
        raise InputError(
            f"{name}: {text!r} is not {wanted.get(json_type or '', 'JSON')}. Leave the input out for its default."
        ) from None


def parse_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("JSON has no infinity and no NaN")
    return int(value) if value.is_integer() else value


def encode_files(inputs: Mapping[str, Any], folder: Path, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """JSON inputs with every `@file` replaced by that file, also in a list: by its text where the input takes a text,
    otherwise by a data: URL. Raises InputError, also for names that `schema`, an OpenAPI document, does not have;
    without one every file becomes a data: URL.
    """
    if schema:
        check_names(inputs, schema)
    parts = schema["components"]["schemas"] if schema else {"Input": {"properties": {}}}

    def encoded(name: str, value: Any, described: Mapping[str, Any]) -> Any:
        if isinstance(value, list):
            return [encoded(name, item, {}) for item in value]
        if not isinstance(value, str) or not value.startswith("@"):
            check_address(name, value, described)
            return value
        return (read_text if is_text(described) else encode_file)(name, value[1:], folder)

    properties = parts["Input"]["properties"]
    return {name: encoded(name, value, resolve_type(properties.get(name, {}), parts)) for name, value in inputs.items()}


def encode_file(name: str, path: str, folder: Path) -> str:
    media_type = mimetypes.guess_type(path, strict=False)[0] or "application/octet-stream"
    return f"data:{media_type};base64,{base64.b64encode(read_argument(name, path, folder)).decode()}"


def read_text(name: str, path: str, folder: Path) -> str:
    """Return the text of a file for an input that takes one, without the line end that editors put last."""
    try:
        return read_argument(name, path, folder).decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError(f"{name} takes a text, and {path} is not one in UTF-8. Choose another file.") from None


def read_argument(name: str, path: str, folder: Path) -> bytes:
    full_path = folder / Path(path).expanduser()
    try:
        return full_path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{name}: cannot read {str(full_path)!r} ({error.strerror}). A value that begins with @ names a file; for "
            "a text that begins with @, put a space before it."
        ) from None
