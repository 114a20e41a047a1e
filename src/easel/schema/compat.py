"""Which changes of the published document break a caller that worked before.

The rules follow replicate/cog-safe-push (`cog_safe_push/schema.py`): an input may not go, become required, change its
type, tighten a limit or lose a choice, and the output may not change. A new optional input, a wider limit, a new
choice, another default or description is fine; so is `x-cog-accept`, a hint for file pickers that no server checks.
"""

from typing import Any, NamedTuple

_TIGHTER_WHEN_HIGHER = ("minimum", "minLength")
_TIGHTER_WHEN_LOWER = ("maximum", "maxLength")
_TYPE_KEYS = ("type", "format", "items")
_DESCRIPTIVE = ("title", "description")


class Break(NamedTuple):
    """One thing that callers may rely on and no longer find.

    `input` is its input, or "output". `kind` is gone, required, type, null, choice, output or the limit's keyword;
    `value` is the choice that is gone, or what the limit now is. `prefix` is that of the schemas: "Training" for a
    trainer's.
    """

    input: str
    text: str
    kind: str
    value: Any = None
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.prefix.lower()} {self.input}: {self.text}".strip()


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a sentence for each thing that callers of the OpenAPI document `old` may rely on and `new` takes away."""
    return [str(change) for change in find_breaks(old, new)]


def find_breaks(old: dict[str, Any], new: dict[str, Any]) -> list[Break]:
    breaks = _find_breaks(old, new, "")
    if "TrainingInput" in _schemas(old):
        breaks += [change._replace(prefix="Training") for change in _find_breaks(old, new, "Training")]
    return breaks


def _find_breaks(old: dict[str, Any], new: dict[str, Any], prefix: str) -> list[Break]:
    before, after = inputs_of(old, prefix), inputs_of(new, prefix)
    required_before, required_after = _required(old, prefix), _required(new, prefix)
    changes = [Break(name, "the input is gone", "gone") for name in before if name not in after]
    changes += [
        Break(name, "is now required" if name in before else "a new input is required", "required")
        for name in after
        if name in required_after and name not in required_before
    ]
    for name in before:
        if name in after:
            changes += [Break(name, *change) for change in _input_changes(before[name], after[name])]
    was, now = _output(old, prefix), _output(new, prefix)
    if was != now:
        changes.append(Break("output", f"was {was} and is {now}", "output"))
    return changes


def _input_changes(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[Any, ...]]:
    changes: list[tuple[Any, ...]] = []
    if _type(old) != _type(new):
        changes.append((f"the type was {_type(old)} and is {_type(new)}", "type"))
    if old.get("nullable") and not new.get("nullable"):
        changes.append(("null is no longer accepted", "null"))
    for key in _TIGHTER_WHEN_HIGHER + _TIGHTER_WHEN_LOWER:
        was, now = old.get(key), new.get(key)
        if now is not None and (was is None or (now > was if key in _TIGHTER_WHEN_HIGHER else now < was)):
            changes.append((f"{key} was {'open' if was is None else was} and is {now}", key, now))
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        changes.append((f"pattern was {old.get('pattern', 'open')} and is {new['pattern']}", "pattern", new["pattern"]))
    if "enum" in new and "enum" not in old:
        changes.append((f"any value was allowed and now only {new['enum']}", "enum", new["enum"]))
    elif "enum" in new:
        lost = [choice for choice in old["enum"] if choice not in new["enum"]]
        changes += [(f"the choice {choice!r} is gone", "choice", choice) for choice in lost]
    return changes


def _schemas(document: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = document.get("components", {}).get("schemas", {})
    return schemas


def inputs_of(document: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return the inputs by name, with the enum that Cog keeps in a schema of its own put back into its input.

    Those of a trainer for the `prefix` "Training".
    """
    schemas = _schemas(document)
    inputs = {}
    for name, published in schemas.get(f"{prefix}Input", {}).get("properties", {}).items():
        published = without_null(published)
        merged: dict[str, Any] = {}
        for part in (*published.get("allOf", []), published):
            merged |= schemas.get(part.get("$ref", "").rpartition("/")[2], {})
        inputs[name] = merged | {key: value for key, value in published.items() if key != "$ref"}
    return inputs


def without_null(published: dict[str, Any]) -> dict[str, Any]:
    """Return the same as OpenAPI 3.0 has it: `anyOf` or `type` with null, as 3.1 and pydantic write it, is
    `nullable`.
    """
    kinds, parts = published.get("type"), published.get("anyOf") or published.get("oneOf") or []
    others = [part for part in parts if part != {"type": "null"}]
    if isinstance(kinds, list) and "null" in kinds and len(kinds) == 2:
        (kind,) = (one for one in kinds if one != "null")
        return published | {"type": kind, "nullable": True}
    if len(others) == 1 and len(parts) == 2:
        rest = {key: value for key, value in published.items() if key not in ("anyOf", "oneOf")}
        merged: dict[str, Any] = others[0] | rest | {"nullable": True}
        return merged
    return published


def _required(document: dict[str, Any], prefix: str) -> list[str]:
    required: list[str] = _schemas(document).get(f"{prefix}Input", {}).get("required", [])
    return required


def _type(published: dict[str, Any]) -> str:
    return " ".join(str(published[key]) for key in _TYPE_KEYS if key in published)


def _output(document: dict[str, Any], prefix: str) -> dict[str, Any]:
    output = _schemas(document).get(f"{prefix}Output", {})
    return {key: value for key, value in output.items() if key not in _DESCRIPTIVE}
