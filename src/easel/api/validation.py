"""A prediction's input against its version's schema, before it is accepted; and which of it is secret."""

import json
from itertools import islice
from typing import Any

from jsonschema import Draft4Validator, FormatChecker

from easel.api.cog_answers import members
from easel.api.problems import Problem
from easel.api.redaction import redact_queries
from easel.api.schemas import input_rules, secret_names
from easel.api.strict_json import count_values

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
    if problems := [field_problem(error) for error in islice(errors, MOST_TOLD)]:
        raise invalid(problems)
    known = rules.get("properties", {})
    return [name[:100] for name in islice((name for name in given if name not in known), MOST_TOLD)]


def invalid(problems: list[tuple[str, str, str]]) -> Problem:
    """Return the answer (422) to inputs that are wrong, each (type, field, description)."""
    fields = [{"type": kind, "field": field[:200], "description": text} for kind, field, text in problems]
    lines = "".join(f"- {one['field']}: {one['description']}\n" for one in fields)
    return Problem(422, lines, invalid_fields=fields)


def field_problem(error: Any) -> tuple[str, str, str]:
    field = ".".join(["input", *map(str, error.absolute_path)])
    match error.validator:
        case "required":
            name = error.message.split("'")[1]
            return "required", "input" if not error.absolute_path else field, f"{name} is required"
        case "enum":
            text = f"must be one of {', '.join(map(written, error.validator_value[:100]))}"
        case "minimum":
            text = f"must be greater than or equal to {error.validator_value}"
        case "maximum":
            text = f"must be less than or equal to {error.validator_value}"
        case "type":
            text = f"must be {article(error.validator_value)}, not {shorten(error.instance)}"
        case _:
            text = error.message.replace(repr(error.instance), written(error.instance))
            text = text if len(text) < 200 else f"does not fit {error.validator}"
    return error.validator, field, redact_queries(text)


def article(kind: Any) -> str:
    kinds = [one for one in ([kind] if isinstance(kind, str) else kind) if one != "null"]
    return " or ".join(f"{'an' if one[0] in 'aio' else 'a'} {one}" for one in kinds)


def shorten(value: Any) -> str:
    text = written(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def written(value: Any) -> str:
    """Return a value as callers know it: null, true and false as in JSON, texts in single quotes."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def use_integers(given: Any, document: dict[str, Any]) -> None:
    """Put an integer wherever the schema wants one and `given`, an input, has 64.0 or the like: Cog does not do it."""
    if isinstance(given, dict):
        for name, rule in members(input_rules(document).get("properties")).items():
            if name in given:
                given[name] = as_integer(given[name], rule)


def as_integer(value: Any, rule: Any) -> Any:
    if isinstance(value, list) and isinstance(members(rule).get("items"), dict):
        return [as_integer(one, rule["items"]) for one in value]
    if not isinstance(value, float) or not value.is_integer() or abs(value) > 2**53:
        return value
    kinds = types_of(rule)
    return int(value) if "integer" in kinds and "number" not in kinds else value


def types_of(rule: Any) -> set[str]:
    """Return the names of all types that a part of a schema speaks of."""
    rule = members(rule)
    own = rule.get("type", [])
    inner = (types_of(one) for word in ("allOf", "anyOf", "oneOf") for one in rule.get(word, []))
    return set([own] if isinstance(own, str) else own).union(*inner)


def redacted(given: dict[str, Any], document: dict[str, Any] | None) -> dict[str, Any]:
    hidden = secret_names(document or {})
    return {name: REDACTED if name in hidden and value else value for name, value in given.items()}
