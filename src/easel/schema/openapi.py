"""`predict.py` -> `openapi.json`: the published contract, the same document that `cog build` would put on the image.

The shape is that of replicate/cog at release 0.23.1: pkg/schema/openapi_spec.go (read at commit af7e073f), types.go
and schema_type.go. Cog lists `/`, `/health-check`, `/predictions` and the cancel path, although its server has more.
A trainer would add `/trainings` and `Training...` schemas; there is none yet.

Cog stamps its own release as `info.version`, and takes the document as it is from a file named in COG_OPENAPI_SCHEMA.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from easel.files import write_atomically
from easel.schema.compat import breaking_changes
from easel.schema.inputs import NO_DEFAULT, Runner, RunnerInput, SchemaError, ValueType
from easel.schema.reader import read_runner

__all__ = [
    "COG_VERSION",
    "SchemaError",
    "breaking_changes",
    "check_schema",
    "install_schema",
    "openapi",
    "read_runner",
    "to_json",
    "write_schema",
]

COG_VERSION = "0.23.1"  # requirements.txt pins the same; a test holds the two equal

_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "Path": {"type": "string", "format": "uri"},
    "Secret": {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True},
}

_LIMIT_KEYS = {
    "ge": "minimum",
    "le": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "regex": "pattern",
    "accept": "x-cog-accept",
}


def openapi(path: Path) -> dict[str, Any]:
    """Return the OpenAPI 3.0.2 document of the runner in `path`.

    Raises `SchemaError` for what Cog would drop or refuse.
    """
    runner = read_runner(path)
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": COG_VERSION},
        "paths": _paths(),
        "components": {"schemas": _runner_schemas(runner) | _server_schemas()},
    }


def to_json(document: dict[str, Any]) -> str:
    """Return the text of `openapi.json`: keys in the order of the document, so that the same source gives the same
    bytes.
    """
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_schema(root: Path) -> bool:
    """Write `openapi.json` from `predict.py`; whether it changed."""
    return _write(root / "openapi.json", to_json(openapi(root / "predict.py")))


def install_schema(root: Path) -> bool:
    """Put the document where Cog's server looks, `.cog/openapi_schema.json`; without it, it accepts any input."""
    return _write(root / ".cog" / "openapi_schema.json", to_json(openapi(root / "predict.py")))


def check_schema(root: Path, base: str = "HEAD") -> list[str]:
    """Return what is wrong with the committed contract, a sentence each: unreadable, stale, or breaking callers of
    `base`.

    `base` is the Git revision whose `openapi.json` callers rely on. Outside of Git, or where that revision has no such
    file, there is nothing to break.
    """
    try:
        document = openapi(root / "predict.py")
    except SchemaError as error:
        return str(error).splitlines()
    problems = []
    published = root / "openapi.json"
    if not published.is_file():
        problems.append("openapi.json is missing; write it with `easel schema`")
    elif published.read_text(encoding="utf-8") != to_json(document):
        problems.append("openapi.json is not what predict.py says; write it again with `easel schema`")
    promised = _committed(root, base)
    if promised is not None:
        problems += [f"breaks callers of {base}: {change}" for change in breaking_changes(promised, document)]
    return problems


def _committed(root: Path, base: str) -> dict[str, Any] | None:
    try:
        shown = subprocess.run(
            ["git", "-C", str(root), "show", f"{base}:./openapi.json"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git
        return None
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def _write(path: Path, text: str) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path, sync=False) as stream:
        stream.write(text.encode())
    return True


def _runner_schemas(runner: Runner) -> dict[str, Any]:
    properties = {item.name: _property(item, order) for order, item in enumerate(runner.inputs)}
    inputs = {"title": "Input", "type": "object", "properties": properties}
    if required := [item.name for item in runner.inputs if item.required]:
        inputs["required"] = required
    enums = {item.name: _enum(item) for item in runner.inputs if item.choices}
    return {"Input": inputs, "Output": {"title": "Output", **_type(runner.output)}, **enums}


def _property(item: RunnerInput, order: int) -> dict[str, Any]:
    published: dict[str, Any] = (
        {"allOf": [_ref(item.name)]} if item.choices else {"title": _title(item.name), **_type(item.type)}
    )
    published["description"] = item.description
    if item.default is not NO_DEFAULT:
        published["default"] = _plain(item.default)
    if item.type.optional:
        published["nullable"] = True
    for keyword, key in _LIMIT_KEYS.items():
        if (value := getattr(item, keyword)) is not None:
            published[key] = _plain(value)
    if item.deprecated:
        published["deprecated"] = True
    return {**published, "x-order": order}


def _enum(item: RunnerInput) -> dict[str, Any]:
    kind = _TYPES[item.type.name]["type"]
    return {"title": item.name, "description": "An enumeration.", "enum": list(item.choices or ()), "type": kind}


def _type(value_type: ValueType) -> dict[str, Any]:
    single = dict(_TYPES[value_type.name])
    return {"type": "array", "items": single} if value_type.many else single


def _plain(value: object) -> object:
    """Go writes 1.0 as 1, in limits and in defaults."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _title(name: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(title: str, **more: object) -> dict[str, Any]:
    return {"title": title, "type": "string", **more}


def _server_schemas() -> dict[str, Any]:
    """Return what every Cog server says, whatever the model."""
    times = {name: _text(_title(name), format="date-time") for name in ("created_at", "started_at", "completed_at")}
    response = {
        "input": _ref("Input"),
        "output": _ref("Output"),
        "id": _text("Id"),
        "version": _text("Version"),
        **times,
        "status": _text("Status"),
        "error": _text("Error"),
        "logs": _text("Logs"),
        "metrics": {"title": "Metrics", "type": "object"},
    }
    location = {
        "title": "Location",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    }
    problem = {"loc": location, "msg": _text("Message"), "type": _text("Error Type")}
    problems = {"title": "Detail", "type": "array", "items": _ref("ValidationError")}
    statuses = ["starting", "processing", "succeeded", "canceled", "failed"]
    return {
        "PredictionRequest": _object("PredictionRequest", {"id": _text("Id"), "input": _ref("Input")}),
        "PredictionResponse": _object("PredictionResponse", response),
        "Status": {"title": "Status", "description": "An enumeration.", "enum": statuses, "type": "string"},
        "HTTPValidationError": _object("HTTPValidationError", {"detail": problems}),
        "ValidationError": {**_object("ValidationError", problem), "required": list(problem)},
    }


def _object(title: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _paths() -> dict[str, Any]:
    predict = {
        "summary": "Predict",
        "description": "Run a single prediction on the model",
        "operationId": "predict_predictions_post",
        "requestBody": {"content": {"application/json": {"schema": _ref("PredictionRequest")}}},
        "responses": _answers(_ref("PredictionResponse"), refuses=True),
    }
    prediction_id = {"required": True, "schema": _text("Prediction Id"), "name": "prediction_id", "in": "path"}
    cancel = {
        "summary": "Cancel",
        "operationId": "cancel_predictions__prediction_id__cancel_post",
        "parameters": [prediction_id],
        "responses": _answers({}, refuses=True),
    }
    health = {"summary": "Healthcheck", "operationId": "healthcheck_health_check_get", "responses": _answers({})}
    return {
        "/": {"get": {"summary": "Root", "operationId": "root__get", "responses": _answers({})}},
        "/health-check": {"get": health},
        "/predictions": {"post": predict},
        "/predictions/{prediction_id}/cancel": {"post": cancel},
    }


def _answers(schema: dict[str, Any], refuses: bool = False) -> dict[str, Any]:
    answers = {"200": {"description": "Successful Response", "content": {"application/json": {"schema": schema}}}}
    if refuses:
        problem = {"schema": _ref("HTTPValidationError")}
        answers["422"] = {"description": "Validation Error", "content": {"application/json": problem}}
    return answers
