"""A prediction's input against its version's schema, before it is accepted; and which of it is secret."""

import json
from itertools import islice
from typing import Any

from jsonschema import Draft4Validator, FormatChecker

from easel.api.problems import Problem
from easel.api.schemas import input_rules, secret_names
from easel.api.signed import without_queries
from easel.api.strict import count_values

REDACTED = "[REDACTED]"
MOST_TOLD = 20  # errors, and unknown names
MOST_COST = 100_000_000  # Easel's own schema, with 256 kB of text or 1,500 values


def check_input(given: Any, schema: dict[str, Any]) -> list[str]:
    """Return names that the model does not know, at most 20: Cog drops them, so the log is to say it.

    Blocking, for a second at worst. Raises Problem: 422 with one line a field, at most 20, and `invalid_fields`, each
    {type, field ("input.seed"), description}; 413 for an input too large for the schema.
    """
    if not isinstance(given, dict):
        raise invalid([("type", "input", "must be an object")])
    rules = input_rules(schema)
    # Each part of the schema may meet each value once, and repeat it in a message.
    if count_values(rules) * (200 * count_values(given) + len(json.dumps(given))) > MOST_COST:
        raise Problem(413, "The input has too many values for this model's schema. Send fewer.")
    errors = Draft4Validator(rules, format_checker=FormatChecker(formats=())).iter_errors(given)
    if problems := [describe(error) for error in islice(errors, MOST_TOLD)]:
        raise invalid(problems)
    known = rules.get("properties", {})
    return [name[:100] for name in islice((name for name in given if name not in known), MOST_TOLD)]


def invalid(problems: list[tuple[str, str, str]]) -> Problem:
    """Return the answer (422) to inputs that are wrong, each (type, field, description)."""
    fields = [{"type": kind, "field": field[:200], "description": text} for kind, field, text in problems]
    lines = "".join(f"- {one['field']}: {one['description']}\n" for one in fields)
    return Problem(422, lines, invalid_fields=fields)


def describe(error: Any) -> tuple[str, str, str]:
    field = ".".join(["input", *map(str, error.absolute_path)])
    match error.validator:
        case "required":
            name = error.message.split("'")[1]
            return "required", "input" if not error.absolute_path else field, f"{name} is required"
        case "enum":
            text = f"must be one of {', '.join(map(repr, error.validator_value[:100]))}"
        case "minimum":
            text = f"must be greater than or equal to {error.validator_value}"
        case "maximum":
            text = f"must be less than or equal to {error.validator_value}"
        case "type":
            text = f"must be {article(error.validator_value)}, not {shorten(error.instance)}"
        case _:
            text = error.message if len(error.message) < 200 else f"does not fit {error.validator}"
    return error.validator, field, without_queries(text)


def article(kind: Any) -> str:
    kinds = [one for one in ([kind] if isinstance(kind, str) else kind) if one != "null"]
    return " or ".join(f"{'an' if one[0] in 'aio' else 'a'} {one}" for one in kinds)


def shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def redacted(given: dict[str, Any], document: dict[str, Any] | None) -> dict[str, Any]:
    hidden = secret_names(document or {})
    return {name: REDACTED if name in hidden and value else value for name, value in given.items()}
