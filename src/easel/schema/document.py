"""The parts of the published document, as Cog writes them for a runner and a trainer.

The shape is that of replicate/cog at release 0.23.1: pkg/schema/openapi_spec.go (read at commit af7e073f), types.go,
schema_type.go and generator.go. Cog lists `/`, `/health-check`, `/predictions` and the cancel path, and where there is
a trainer `/trainings` and its own, although its server has more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from easel.schema.inputs import NO_DEFAULT, Runner, RunnerInput, SchemaError, Trainer, ValueType

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


@dataclass(frozen=True)
class Endpoint:
    """What is asked at one address. `verb` and `noun` are Cog's words, `prefix` stands before Input and Output."""

    verb: str
    noun: str
    prefix: str

    @property
    def request(self) -> str:
        return f"{self.noun.title()}Request"

    @property
    def response(self) -> str:
        return f"{self.noun.title()}Response"


PREDICTIONS = Endpoint("Predict", "prediction", "")
TRAININGS = Endpoint("Train", "training", "Training")


def schemas_of(runner: Runner, trainer: Trainer | None) -> dict[str, Any]:
    """Return `components/schemas`. Of two schemas of one name Cog keeps the runner's. Raises SchemaError for those."""
    schemas = _own_schemas(PREDICTIONS, runner.inputs, {"title": "Output", **_type(runner.output)}) | _server_schemas()
    if trainer is None:
        return schemas
    fields = {name: {**_type(value_type), "title": _title(name)} for name, value_type in trainer.output.items()}
    output = {"title": "Output", "type": "object", "properties": fields, "required": list(fields)}
    added = _own_schemas(TRAININGS, trainer.inputs, output)
    for name in added.keys() & schemas.keys():
        raise SchemaError(f"train.py: {name}: predict.py has choices of this name, and Cog would publish those here")
    return schemas | added


def paths_of(trainer: Trainer | None) -> dict[str, Any]:
    """Return `paths`."""
    health = {"summary": "Healthcheck", "operationId": "healthcheck_health_check_get", "responses": _answers({})}
    return {
        "/": {"get": {"summary": "Root", "operationId": "root__get", "responses": _answers({})}},
        "/health-check": {"get": health},
        **_paths(PREDICTIONS),
        **(_paths(TRAININGS) if trainer else {}),
    }


def _own_schemas(endpoint: Endpoint, items: Sequence[RunnerInput], output: dict[str, Any]) -> dict[str, Any]:
    properties = {item.name: _property(item, order) for order, item in enumerate(items)}
    inputs = {"title": f"{endpoint.prefix}Input", "type": "object", "properties": properties}
    if required := [item.name for item in items if item.required]:
        inputs["required"] = required
    enums = {item.name: _enum(item) for item in items if item.choices}
    own = {f"{endpoint.prefix}Input": inputs, f"{endpoint.prefix}Output": output}
    return {**own, **enums, **_messages(endpoint)}


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


def _messages(endpoint: Endpoint) -> dict[str, Any]:
    times = {name: _text(_title(name), format="date-time") for name in ("created_at", "started_at", "completed_at")}
    response = {
        "input": _ref(f"{endpoint.prefix}Input"),
        "output": _ref(f"{endpoint.prefix}Output"),
        "id": _text("Id"),
        "version": _text("Version"),
        **times,
        "status": _text("Status"),
        "error": _text("Error"),
        "logs": _text("Logs"),
        "metrics": {"title": "Metrics", "type": "object"},
    }
    request = {"id": _text("Id"), "input": _ref(f"{endpoint.prefix}Input")}
    return {
        endpoint.request: _object(endpoint.request, request),
        endpoint.response: _object(endpoint.response, response),
    }


def _server_schemas() -> dict[str, Any]:
    """Return what every Cog server says, whatever the model."""
    location = {
        "title": "Location",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    }
    problem = {"loc": location, "msg": _text("Message"), "type": _text("Error Type")}
    problems = {"title": "Detail", "type": "array", "items": _ref("ValidationError")}
    statuses = ["starting", "processing", "succeeded", "canceled", "failed"]
    return {
        "Status": {"title": "Status", "description": "An enumeration.", "enum": statuses, "type": "string"},
        "HTTPValidationError": _object("HTTPValidationError", {"detail": problems}),
        "ValidationError": {**_object("ValidationError", problem), "required": list(problem)},
    }


def _object(title: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _paths(endpoint: Endpoint) -> dict[str, Any]:
    verb, noun = endpoint.verb, endpoint.noun
    create = {
        "summary": verb,
        "description": f"Run a single {noun} on the model",
        "operationId": f"{verb.lower()}_{noun}s_post",
        "requestBody": {"content": {"application/json": {"schema": _ref(endpoint.request)}}},
        "responses": _answers(_ref(endpoint.response), refuses=True),
    }
    parameter = {"required": True, "schema": _text(_title(f"{noun}_id")), "name": f"{noun}_id", "in": "path"}
    cancel = {
        "summary": "Cancel",
        "operationId": f"cancel_{noun}s__{noun}_id__cancel_post",
        "parameters": [parameter],
        "responses": _answers({}, refuses=True),
    }
    return {f"/{noun}s": {"post": create}, f"/{noun}s/{{{noun}_id}}/cancel": {"post": cancel}}


def _answers(schema: dict[str, Any], refuses: bool = False) -> dict[str, Any]:
    answers = {"200": {"description": "Successful Response", "content": {"application/json": {"schema": schema}}}}
    if refuses:
        problem = {"schema": _ref("HTTPValidationError")}
        answers["422"] = {"description": "Validation Error", "content": {"application/json": problem}}
    return answers
