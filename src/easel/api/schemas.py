"""A version's schema: which of its keywords are checked here, and which an account may not send at all."""

from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import SchemaError

from easel.api.cog_answers import members
from easel.api.strict_json import MOST_DEPTH, count_values

MOST_PARTS = 20_000  # of a schema with all that it refers to; Z-Image-Turbo's has some hundreds
MOST_SENT_PARTS = 2_000  # of one that an account sends: more than is made of any signature
MOST_CHOICES = 1_000  # whose equality is looked for pair by pair

# Each costs no more than the schema is long, times the input. `uniqueItems` and `patternProperties` cost far more.
CHECKED = {
    *("type", "properties", "required", "items", "additionalProperties", "enum", "allOf", "anyOf", "oneOf", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
}
# `pattern` is left to Cog: its regular expressions are not Python's, and one of them could take for ever here.
# `nullable` is left out of account: Cog's server refuses null wherever it stands.
LEFT_OUT = {
    *("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"),
    *("nullable", "pattern"),
}


class UnfitSchema(ValueError):
    """The schema cannot be used; the text says why, and begins with where."""


def input_schema(document: dict[str, Any]) -> dict[str, Any]:
    """Return the Input of an OpenAPI document as it stands there, an empty object if there is none."""
    return members(members(members(document.get("components")).get("schemas")).get("Input"))


def input_rules(document: dict[str, Any], sent: bool = False) -> dict[str, Any]:
    """Return the Input of an OpenAPI 3.0 document as JSON Schema of draft 4, on which it builds, with what it names.

    What is not checked here is left out of it. Raises UnfitSchema for one that goes in circles or is none; and, if it
    was `sent` by an account, for a keyword that is not known here and for a size that no signature has.
    """
    schemas = members(members(document.get("components")).get("schemas"))
    most = MOST_SENT_PARTS if sent else MOST_PARTS
    count = 0

    def plain(part: Any, where: str, depth: int) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count > most or depth > MOST_DEPTH:
            raise UnfitSchema(f"{where}: its $ref go in a circle or unfold to too much")
        if not isinstance(part, dict):
            raise UnfitSchema(f"{where}: must be an object")
        if reference := part.get("$ref"):
            name = str(reference).rpartition("/")[2]
            part = {key: value for key, value in part.items() if key != "$ref"} | members(schemas.get(name))
            return plain(part, where, depth + 1)
        found = {}
        for name, value in part.items():
            here = f"{where}.{name[:100]}"
            if name in CHECKED:
                found[name] = keyword(name, value, here, depth + 1)
            elif sent and name not in LEFT_OUT and not name.startswith("x-"):
                raise UnfitSchema(f"{here}: is not a keyword that a schema may have here")
        return found

    def keyword(name: str, value: Any, where: str, depth: int) -> Any:
        nonlocal count
        if name == "properties" and isinstance(value, dict):
            return {one: plain(inner, f"{where}.{one[:100]}", depth) for one, inner in value.items()}
        if isinstance(value, dict) and name in ("items", "additionalProperties"):
            return plain(value, where, depth)
        if isinstance(value, list) and name in ("items", "allOf", "anyOf", "oneOf"):
            return [plain(one, where, depth) for one in value]
        count += count_values(value)
        if count > most:
            raise UnfitSchema(f"{where}: makes the schema too large")
        if isinstance(value, list) and len(value) > MOST_CHOICES:
            raise UnfitSchema(f"{where}: has more than {MOST_CHOICES} members")
        return value

    return plain(schemas.get("Input", {}), "Input", 0)


def check_schema(document: dict[str, Any], sent: bool = False) -> None:
    """Raise UnfitSchema for a document from which no input can be checked."""
    if not input_schema(document):
        raise UnfitSchema("has no Input")
    rules = input_rules(document, sent)
    try:
        Draft4Validator.check_schema(rules)
    except SchemaError as error:
        where = ".".join(["Input", *(str(one)[:100] for one in error.absolute_path)])
        raise UnfitSchema(f"{where}: is not as JSON Schema has it") from None
    if rules.get("type", "object") != "object":
        raise UnfitSchema("Input: must be an object")


def is_schema(document: Any) -> bool:
    """Return whether inputs can be checked by it: what a Cog server tells as its schema."""
    try:
        check_schema(members(document))
    except UnfitSchema:
        return False
    return True


def properties(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the inputs' names and what the document says of each."""
    return {name: members(one) for name, one in members(input_schema(document).get("properties")).items()}


def secret_names(document: dict[str, Any]) -> set[str]:
    """Return the names of the inputs that nobody is to see again."""
    found = properties(document).items()
    return {name for name, one in found if one.get("format") == "password" or one.get("x-cog-secret")}
