"""A prediction's input against its version's schema, before it is accepted; and which of it is secret."""

from typing import Any

from jsonschema import Draft4Validator, FormatChecker

from easel.api.problems import Problem

REDACTED = "[REDACTED]"
MOST_PARTS = 20_000  # of a schema with all that it refers to; Z-Image-Turbo's has some hundreds


def check_input(given: Any, schema: dict[str, Any]) -> list[str]:
    """Names that the model does not know: Cog drops them, so the log is to say it.

    Raises Problem (422) with one line a field and `invalid_fields`, each {type, field ("input.seed"), description}.
    """
    if not isinstance(given, dict):
        raise invalid([("type", "input", "must be an object")])
    rules = input_rules(schema)
    errors = Draft4Validator(rules, format_checker=FormatChecker(formats=())).iter_errors(given)
    if problems := [describe(error) for error in errors]:
        raise invalid(problems)
    return [name for name in given if name not in rules.get("properties", {})]


def invalid(problems: list[tuple[str, str, str]]) -> Problem:
    fields = [{"type": kind, "field": field, "description": text} for kind, field, text in problems]
    lines = "".join(f"- {one['field']}: {one['description']}\n" for one in fields)
    return Problem(422, lines, invalid_fields=fields)


def describe(error: Any) -> tuple[str, str, str]:
    field = ".".join(["input", *map(str, error.absolute_path)])
    match error.validator:
        case "required":
            name = error.message.split("'")[1]
            return "required", "input" if not error.absolute_path else field, f"{name} is required"
        case "enum":
            text = f"must be one of {', '.join(map(repr, error.validator_value))}"
        case "minimum":
            text = f"must be greater than or equal to {error.validator_value}"
        case "maximum":
            text = f"must be less than or equal to {error.validator_value}"
        case "type":
            text = f"must be {article(error.validator_value)}, not {shorten(error.instance)}"
        case _:
            text = error.message if len(error.message) < 200 else f"does not fit {error.validator}"
    return error.validator, field, text


def article(kind: Any) -> str:
    kinds = [one for one in ([kind] if isinstance(kind, str) else kind) if one != "null"]
    return " or ".join(f"{'an' if one[0] in 'aio' else 'a'} {one}" for one in kinds)


def shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def input_rules(document: dict[str, Any]) -> dict[str, Any]:
    """The Input of an OpenAPI 3.0 document as JSON Schema of draft 4, which it builds on, with what it refers to.

    Raises RecursionError for one that goes in circles.
    `nullable` is left out of account: Cog's server refuses null wherever it stands.
    """
    schemas = document.get("components", {}).get("schemas", {})
    count = 0

    def plain(part: Any) -> Any:
        nonlocal count
        count += 1
        if count > MOST_PARTS:
            raise RecursionError("the schema unfolds to too much")
        if isinstance(part, list):
            return [plain(one) for one in part]
        if not isinstance(part, dict):
            return part
        # `pattern` is left to Cog: its regular expressions are not Python's, and one of them could take for ever here.
        part = {
            name: {inner: plain(one) for inner, one in value.items()} if name == "properties" else plain(value)
            for name, value in part.items()
            if name not in ("default", "example", "pattern")
        }
        reference = part.pop("$ref", None)
        if reference:
            part |= plain(schemas.get(reference.rpartition("/")[2], {}))
        return part

    return plain(schemas.get("Input", {}))


def secret_names(document: dict[str, Any]) -> set[str]:
    properties = document.get("components", {}).get("schemas", {}).get("Input", {}).get("properties", {})
    return {name for name, one in properties.items() if one.get("format") == "password" or one.get("x-cog-secret")}


def redacted(given: dict[str, Any], document: dict[str, Any] | None) -> dict[str, Any]:
    hidden = secret_names(document or {})
    return {name: REDACTED if name in hidden and value else value for name, value in given.items()}
