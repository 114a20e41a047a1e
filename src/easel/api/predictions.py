"""`/v1/predictions`, and creating one by model or by deployment."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.api.active import ActivePrediction, ends_within
from easel.api.headers import parse_cancel_after, parse_prefer
from easel.api.new_prediction import New, make_row, read_new
from easel.api.pages import page
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.tables import FINAL, Prediction, Version

LORAS = "lora_weights"  # the input of a base model that takes the weights of a trained version
OFFICIAL_CLIENTS = re.compile(r"replicate-(python|javascript)/|(async)?replicate/(python|js)|_moduleclient/python")


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
    prediction = await make_row(api, request.state.account, new, version, version.openapi_schema, deployment=deployment)
    prediction.deadline = prediction.created_at + lifetime if lifetime else None
    if version.training:
        await add_lora(api, prediction, version)
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


async def add_lora(api: Api, prediction: Prediction, version: Version) -> None:
    """Make the Cog server of the base model run it, with the trained LoRA unless its input names others.

    So it is with a server that has COG_WEIGHTS.
    """
    training = await api.database.get(Prediction, version.training)
    address = training and api.serializers.weights_address(training)
    if not address or not version.base:
        raise Problem(409, f"The weights of {version.model}:{version.id} are not here any more. Train it again.")
    prediction.runs_on = (await api.registry.to_run(version.base)).id
    given = prediction.given or prediction.input
    prediction.given = {LORAS: [address]} | given


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
    inline = inline and not prediction.destination  # nobody makes files of a training's output

    def write() -> Response:
        return JSONResponse(api.serializers.prediction(prediction, inline) | (changes or {}), status, headers)

    return await asyncio.to_thread(write)  # megabytes of files may be in it


async def find(api: Api, request: Request) -> Prediction:
    identity = request.path_params["id"]
    run = api.lifecycle.active.get(identity)
    prediction = run.prediction if run else await api.database.get(Prediction, identity)
    is_shown = prediction and (prediction.account == request.state.account or prediction.source == "web")
    if not prediction or not is_shown or prediction.destination:
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
    conditions = [Prediction.account == request.state.account, Prediction.destination.is_(None)]
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
