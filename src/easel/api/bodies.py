"""What requests carry, checked by pydantic; what it finds is answered as Replicate answers it."""

import json
import math
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request

from easel.api.problems import Problem

NAME = r"^[a-z0-9][a-z0-9._-]*$"
Event = Literal["start", "output", "logs", "completed"]
Body = TypeVar("Body", bound=BaseModel)


class NewPrediction(BaseModel):
    """`webhook_completed` and `stream` are from older clients: the first is a webhook with one event."""

    version: str | None = None
    input: dict[str, Any]
    webhook: str | None = None
    webhook_events_filter: list[Event] | None = None
    webhook_completed: str | None = None
    stream: bool | None = None


class NewModel(BaseModel):
    owner: Annotated[str, Field(pattern=NAME)]
    name: Annotated[str, Field(pattern=NAME)]
    visibility: Literal["public", "private"]
    hardware: str
    description: str | None = None
    github_url: str | None = None
    paper_url: str | None = None
    license_url: str | None = None
    cover_image_url: str | None = None


class ChangedModel(BaseModel):
    description: str | None = None
    readme: str | None = None
    github_url: str | None = None
    paper_url: str | None = None
    license_url: str | None = None
    weights_url: str | None = None


class NewVersion(BaseModel):
    """Easel's own: what `cog push` tells the registry, and which Cog servers run it."""

    openapi_schema: dict[str, Any]
    cog_version: str
    servers: list[Annotated[str, Field(pattern=r"^https?://")]] = []


class NewDeployment(BaseModel):
    name: Annotated[str, Field(pattern=NAME)]
    model: str
    version: str
    hardware: str
    min_instances: Annotated[int, Field(ge=0, le=5)]  # Replicate's limits
    max_instances: Annotated[int, Field(ge=0, le=20)]


class ChangedDeployment(BaseModel):
    version: str | None = None
    hardware: str | None = None
    min_instances: Annotated[int, Field(ge=0, le=5)] | None = None
    max_instances: Annotated[int, Field(ge=0, le=20)] | None = None


def no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else no_number(text)


def check_texts(given: Any) -> None:
    """Raises ValueError for what JSON can write and no database or file can keep: lone surrogates, NUL."""
    match given:
        case str():
            given.encode()
            if "\0" in given:
                raise ValueError("NUL")
        case list():
            for one in given:
                check_texts(one)
        case dict():
            for name, one in given.items():
                check_texts(name)
                check_texts(one)


async def read_body(request: Request, kind: type[Body]) -> Body:
    """Raises Problem: 400 if it is no JSON object, 422 with `invalid_fields` if its members are wrong."""
    try:
        given = json.loads(await request.body(), parse_constant=no_number, parse_float=finite)
        check_texts(given)
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not JSON, or holds NUL, half a character or an infinite number.") from None
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fields = [
            {"type": one["type"], "field": ".".join(map(str, one["loc"])) or "body", "description": one["msg"]}
            for one in error.errors(include_url=False)
        ]
        text = "".join(f"- {one['field']}: {one['description']}\n" for one in fields)
        raise Problem(422, text, invalid_fields=fields) from None
