"""`/v1/predictions`, and creating one by model or by deployment."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.api.active import WARNING, ActivePrediction, ends_within
from easel.api.bodies import NewPrediction, read_body
from easel.api.headers import parse_cancel_after, parse_prefer
from easel.api.input_files import Size, as_text, keep_files
from easel.api.input_urls import check_uris
from easel.api.pages import page
from easel.api.problems import Problem
from easel.api.schemas import secret_names
from easel.api.service import Api
from easel.api.tables import FINAL, Prediction, Version
from easel.api.telemetry import now
from easel.api.validation import check_input, invalid, redacted, use_integers
from easel.api.webhooks import check_webhook

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, which Replicate's ids use
OFFICIAL_CLIENTS = re.compile(r"replicate-(python|javascript)/|(async)?replicate/(python|js)|_moduleclient/python")


def new_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(26))


@dataclass
class New:
    """What is asked for. The files of its input are in the folder of its id already."""

    id: str
    body: NewPrediction
    size: Size
    accepted: bool = False


@asynccontextmanager
async def read_new(api: Api, request: Request) -> AsyncIterator[New]:
    """Read what is asked for; its files go again if it is not accepted. Raises Problem."""
    identity, size = new_id(), Size()

    def keep(body: NewPrediction) -> None:
        nonlocal size
        body.input, size = keep_files(api.outputs, identity, body.input)

    new = None
    try:
        api.check_disk()
        new = New(identity, await read_body(request, NewPrediction, keep), size)
        new.size = size
        yield new
    finally:
        if not new or not new.accepted:
            await asyncio.to_thread(api.outputs.remove, identity)


async def create(api: Api, request: Request) -> Response:
    async with read_new(api, request) as new:
        if not new.body.version:
            raise Problem(
                422,
                "- version: is required\n",
                invalid_fields=[{"type": "required", "field": "version", "description": "version is required"}],
            )
        return await accept(api, request, new, await api.registry.to_run(new.body.version))


async def create_by_model(api: Api, request: Request) -> Response:
    async with read_new(api, request) as new:
        model = await api.find_model("{owner}/{name}".format_map(request.path_params), request.state.account)
        return await accept(api, request, new, await api.registry.newest(model.key))


async def create_by_deployment(api: Api, request: Request) -> Response:
    async with read_new(api, request) as new:
        key = "{owner}/{name}".format_map(request.path_params)
        deployment = await api.registry.deployment(key, request.state.account)
        return await accept(api, request, new, await api.registry.to_run(deployment.version), deployment.key)


async def start(
    api: Api, request: Request, new: New, version: Version, deployment: str | None = None, previews: int = 0
) -> ActivePrediction:
    """Check what is asked for, and let it wait for its turn; `previews` of each image are wanted. Raises Problem."""
    await api.find_model(version.model, request.state.account)
    lifetime = parse_cancel_after(request.headers.get("cancel-after"))
    body, schema = new.body, version.openapi_schema

    def check() -> list[str]:
        use_integers(body.input, schema)
        given = as_text(body.input)
        unknown = check_input(given, schema)
        check_uris(given, schema, api.own_files.is_own)
        return unknown

    unknown = await asyncio.to_thread(check)
    if large := [name for name in secret_names(schema) if isinstance(body.input.get(name), dict)]:
        raise invalid([("maxLength", f"input.{name}", "is a secret, which is no file of over 64 kB") for name in large])
    await api.own_files.check(body.input, request.state.account, api.database)
    events: list[str] = list(body.webhook_events_filter or [])
    if not body.webhook and body.webhook_completed:
        body.webhook, events = body.webhook_completed, ["completed"]
    if body.webhook:
        check_webhook(body.webhook, api.settings.allow_private_webhooks)
    created = now()
    hidden = redacted(body.input, schema)
    prediction = Prediction(
        id=new.id,
        account=request.state.account,
        model=version.model,
        version=version.id,
        deployment=deployment,
        status="starting",
        input=hidden,
        given=body.input if hidden != body.input else None,
        logs="".join(f"{WARNING}there is no input {name!r}, so it was ignored.\n" for name in unknown),
        metrics={},
        created_at=created,
        deadline=created + lifetime if lifetime else None,
        source="api",
        data_removed=False,
        webhook=body.webhook,
        webhook_events_filter=events,
        webhook_pending=False,
    )
    run = await api.lifecycle.submit(prediction, new.size, previews)
    new.accepted = True
    return run


async def accept(api: Api, request: Request, new: New, version: Version, deployment: str | None = None) -> Response:
    wait = parse_prefer(request.headers.get("prefer"))
    run = await start(api, request, new, version, deployment)
    prediction = run.prediction
    headers, status, changes = {"Location": f"{api.serializers.base}/v1/predictions/{prediction.id}"}, 201, {}
    if wait is not None:
        headers["Preference-Applied"] = request.headers["prefer"]
        await ends_within(run, wait)
        # As recorded from Replicate: a waited-for success reads "processing" with its output, and one that is not
        # done "starting". Its clients poll only what is "starting".
        if prediction.status == "succeeded":
            changes = {"status": "processing"}
        elif prediction.status not in FINAL:
            changes, status = {"status": "starting"}, 202
    return await answer_with(api, request, prediction, status, headers, changes)


async def answer_with(
    api: Api,
    request: Request,
    prediction: Prediction,
    status: int = 200,
    headers: dict[str, str] | None = None,
    changes: dict[str, Any] | None = None,
) -> Response:
    """Return the prediction, with `changes`, as an answer.

    Official clients make files only of `https:` and `data:`, so over http they get the files themselves.
    """
    agent = request.headers.get("user-agent", "").lower()
    inline = api.serializers.base.startswith("http:") and bool(OFFICIAL_CLIENTS.match(agent))

    def write() -> Response:
        return JSONResponse(api.serializers.prediction(prediction, inline) | (changes or {}), status, headers)

    return await asyncio.to_thread(write)  # megabytes of files may be in it


async def find(api: Api, request: Request) -> Prediction:
    identity = request.path_params["id"]
    run = api.lifecycle.active.get(identity)
    prediction = run.prediction if run else await api.database.get(Prediction, identity)
    if not prediction or (prediction.account != request.state.account and prediction.source != "web"):
        raise Problem(404, "There is no such prediction.")
    return prediction


async def show(api: Api, request: Request) -> Response:
    return await answer_with(api, request, await find(api, request))


async def cancel(api: Api, request: Request) -> Response:
    prediction = await find(api, request)
    if run := api.lifecycle.active.get(prediction.id):
        await api.lifecycle.cancel(run)
    return await answer_with(api, request, prediction)


async def list_all(api: Api, request: Request) -> Response:
    query = request.query_params
    conditions = [Prediction.account == request.state.account]
    if after := read_time(query.get("created_after")):
        conditions.append(Prediction.created_at >= after)
    if before := read_time(query.get("created_before")):
        conditions.append(Prediction.created_at < before)
    if source := query.get("source"):
        conditions.append(Prediction.source == source)
    return await page(api, request, Prediction, Prediction.id, *conditions, document=api.active_document)


def read_time(text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Problem(400, f"{text[:40]!r} is not a time; write it as 2026-01-31T12:00:00Z.") from None
