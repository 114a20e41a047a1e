"""What requests carry, checked by pydantic; what it finds is answered as Replicate answers it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request

from easel.api.problems import Problem
from easel.api.strict_json import JsonTooLarge, check_texts, read_json

NAME, LONGEST_NAME = r"^[a-z0-9][a-z0-9._-]*$", 100
LONGEST_TEXT = 5000  # characters of what stands in every list
MOST_ERRORS = 20
SMALL, LARGE = 64_000, 1_000_000  # bytes: above the first in a thread, above the second one at a time
Event = Literal["start", "output", "logs", "completed"]
Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")


class NewPrediction(BaseModel):
    """`webhook_completed` and `stream` are from older clients: the first is a webhook with one event."""

    version: Annotated[str, Field(max_length=300)] | None = None
    input: dict[str, Any]
    webhook: Annotated[str, Field(max_length=2000)] | None = None
    webhook_events_filter: Annotated[list[Event], Field(max_length=4)] | None = None
    webhook_completed: Annotated[str, Field(max_length=2000)] | None = None
    stream: bool | None = None


class NewTraining(NewPrediction):
    """`destination` is "owner/name", the model that gets the trained version."""

    destination: Annotated[str, Field(max_length=300)]


class NewModel(BaseModel):
    owner: Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
    name: Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
    visibility: Literal["public", "private"]
    hardware: str
    description: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    github_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    paper_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    license_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    cover_image_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None


class ChangedModel(BaseModel):
    description: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    readme: str | None = None
    github_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    paper_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    license_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None
    weights_url: Annotated[str, Field(max_length=LONGEST_TEXT)] | None = None


class NewVersion(BaseModel):
    """Easel's own: what `cog push` tells the registry, and which Cog servers run it."""

    openapi_schema: dict[str, Any]
    cog_version: str
    servers: Annotated[list[Annotated[str, Field(pattern=r"^https?://", max_length=500)]], Field(max_length=8)] = []


class NewDeployment(BaseModel):
    name: Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
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


def problem_of(error: ValidationError) -> Problem:
    fields = [
        {"type": one["type"], "field": ".".join(map(str, one["loc"])) or "body", "description": one["msg"]}
        for one in error.errors(include_url=False, include_input=False)[:MOST_ERRORS]
    ]
    text = "".join(f"- {one['field']}: {one['description']}\n" for one in fields)
    return Problem(422, text, invalid_fields=fields)


def parse_body(data: bytes, kind: type[Body]) -> Body:
    """Return the body as `kind`. Raises Problem: 400, 413 for too many values, 422 with `invalid_fields`."""
    try:
        given = read_json(data)
        check_texts(given)
    except JsonTooLarge as error:
        raise Problem(413, f"The body is too large: {error}") from None
    except UnicodeError:
        raise Problem(400, "The body must be valid JSON in UTF-8, without unpaired surrogates.") from None
    except ValueError as error:
        raise Problem(400, f"The body is not JSON that can be kept: {error}") from None
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise problem_of(error) from None


async def read_body(request: Request, kind: type[Body], shrink: Callable[[Body], None] | None = None) -> Body:
    """Return the body as `kind`, after `shrink`, which may block, has put what is large elsewhere.

    Raises Problem as `parse_body` does. A large one waits in a file until it is its turn to be in memory.
    """

    def read(data: bytes) -> Body:
        body = parse_body(data, kind)
        if shrink:
            shrink(body)
        return body

    return await receive(request, read)


class Turns:
    """One large body at a time is in memory, at a multiple of its size; accounts take turns."""

    def __init__(self) -> None:
        self._all = asyncio.Lock()
        self._of: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[None]:
        async with self._of.setdefault(account, asyncio.Lock()), self._all:  # both locks are fair
            yield


async def receive(request: Request, read: Callable[[bytes], Result]) -> Result:
    """Return what `read`, which may block, makes of the whole body. Raises Problem (507) when the disk gets full."""
    api = request.state.api
    async with AsyncExitStack() as stack:
        data, file = bytearray(), None
        async for chunk in request.stream():
            if not file and len(data) + len(chunk) > LARGE:
                unnamed = tempfile.TemporaryFile(dir=api.outputs.incoming)  # noqa: SIM115 (the stack does)
                file = stack.enter_context(unnamed)
                file.write(data)
            if file:
                api.check_disk()
                file.write(chunk)
            else:
                data += chunk
        if file:
            file.seek(0)
            await stack.enter_async_context(api.large_bodies.turn(getattr(request.state, "account", "")))
            return await asyncio.to_thread(lambda: read(file.read()))
        return await asyncio.to_thread(read, bytes(data)) if len(data) > SMALL else read(bytes(data))
