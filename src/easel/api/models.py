"""`/v1/models` with versions, README and examples; `/v1/deployments`; search."""

import asyncio
import json
from typing import Any

from sqlalchemy import func, or_, select
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from easel.api.bodies import ChangedDeployment, ChangedModel, NewDeployment, NewModel, NewVersion, read_body
from easel.api.pages import page
from easel.api.problems import Problem
from easel.api.retention import remove_data
from easel.api.schemas import UnfitSchema, check_schema
from easel.api.serializers import deployment_document, version_document
from easel.api.service import Api
from easel.api.tables import Deployment, ModelRow, Prediction, Version
from easel.api.telemetry import now

SORTS = ("latest_version_created_at", "model_created_at")  # Replicate's, the first one its default
MOST_SCHEMA = 256_000  # characters: it stands in every list of models
HARDWARE = (
    ("cpu", "CPU"),
    ("gpu-t4", "Nvidia T4 GPU"),
    ("gpu-l40s", "Nvidia L40S GPU"),
    ("gpu-a100-large", "Nvidia A100 (80GB) GPU"),
    ("gpu-h100", "Nvidia H100 GPU"),
)


def key_of(request: Request) -> str:
    return "{owner}/{name}".format_map(request.path_params)


def check_hardware(sku: str) -> None:
    if sku not in dict(HARDWARE):
        raise Problem(422, f"- hardware: must be one of {', '.join(dict(HARDWARE))}\n")


async def own_model(api: Api, request: Request) -> ModelRow:
    """Return the model. Raises Problem: 404, or 403 if it is of another account."""
    api.check_owner(request.path_params["owner"], request.state.account)
    return await find_model(api, request)


async def find_model(api: Api, request: Request) -> ModelRow:
    return await api.find_model(key_of(request), request.state.account)


async def document(api: Api, model: ModelRow) -> dict[str, Any]:
    latest, example = await api.registry.latest(model.key), await api.registry.example(model.key)
    return api.serializers.model(model, latest, example)


async def list_models(api: Api, request: Request) -> Response:
    mine = or_(ModelRow.visibility == "public", ModelRow.key.startswith(f"{request.state.account}/", autoescape=True))
    conditions = [mine] if len(set(api.settings.tokens.values())) > 1 else []
    query = request.query_params
    by, direction = query.get("sort_by", SORTS[0]), query.get("sort_direction", "desc")
    if by not in SORTS or direction not in ("asc", "desc"):
        raise Problem(400, f"sort_by must be {' or '.join(SORTS)}, and sort_direction asc or desc.")
    newest = select(func.max(Version.created_at)).where(Version.model == ModelRow.key).scalar_subquery()
    at = ModelRow.created_at if by == "model_created_at" else func.coalesce(newest, ModelRow.created_at)
    return await page(
        api,
        request,
        ModelRow,
        ModelRow.key,
        *conditions,
        document=lambda one: document(api, one),
        at=at,
        ascending=direction == "asc",
    )


async def create_model(api: Api, request: Request) -> Response:
    body = await read_body(request, NewModel)
    check_hardware(body.hardware)
    api.check_owner(body.owner, request.state.account)
    key = f"{body.owner}/{body.name}"
    model = await api.registry.add_model(key, **body.model_dump(exclude={"owner", "name"}))
    if not model:
        raise Problem(409, f"There is a model {key} already.")
    headers = {"Location": f"{api.settings.public_url}/v1/models/{key}"}
    return JSONResponse(await document(api, model), 201, headers)


async def show_model(api: Api, request: Request) -> Response:
    return JSONResponse(await document(api, await find_model(api, request)))


async def change_model(api: Api, request: Request) -> Response:
    body = await read_body(request, ChangedModel)
    model = await own_model(api, request)
    for name, value in body.model_dump(exclude_unset=True, exclude={"weights_url"}).items():
        setattr(model, name, value)
    await api.database.save(model)
    return JSONResponse(await document(api, model))


async def delete_model(api: Api, request: Request) -> Response:
    model = await own_model(api, request)
    if await api.registry.latest(model.key):
        raise Problem(409, f"{model.key} has versions. Delete those first.")
    await api.database.remove(ModelRow, ModelRow.key == model.key)
    return Response(status_code=204)


async def show_readme(api: Api, request: Request) -> Response:
    model = await find_model(api, request)
    if not model.readme:
        raise Problem(404, f"{model.key} has no README.")
    return PlainTextResponse(model.readme, media_type="text/plain")


async def list_examples(api: Api, request: Request) -> Response:
    model = await find_model(api, request)
    conditions = (Prediction.model == model.key, Prediction.source == "web")
    return await page(api, request, Prediction, Prediction.id, *conditions, document=api.serializers.prediction)


async def list_versions(api: Api, request: Request) -> Response:
    model = await find_model(api, request)
    return await page(api, request, Version, Version.id, Version.model == model.key, document=version_document)


async def create_version(api: Api, request: Request) -> Response:
    body = await read_body(request, NewVersion)
    model = await own_model(api, request)
    if body.servers and not api.settings.allow_push:
        raise Problem(
            403, "A push may name no servers here. Start the API with --allow-push, or name them by --server."
        )
    if body.servers and len(set(api.settings.tokens.values())) > 1:
        raise Problem(403, "Where several accounts share an API, its servers are those of the command line (--server).")
    if len(json.dumps(body.openapi_schema)) > MOST_SCHEMA:
        raise Problem(413, f"The schema is larger than {MOST_SCHEMA // 1000} kB.")
    try:
        await asyncio.to_thread(check_schema, body.openapi_schema, sent=True)
    except UnfitSchema as error:
        raise Problem(422, f"- openapi_schema: {error}\n") from None
    version = await api.registry.add_version(model.key, body.openapi_schema, body.cog_version, salt=str(now()))
    for url in dict.fromkeys(one.rstrip("/") for one in body.servers):
        await api.servers.push(url, version)
    headers = {"Location": f"{api.settings.public_url}/v1/models/{model.key}/versions/{version.id}"}
    return JSONResponse(version_document(version), 201, headers)


async def find_version(api: Api, request: Request) -> Version:
    version = await api.database.get(Version, request.path_params["id"])
    await find_model(api, request)
    if not version or version.model != key_of(request):
        raise Problem(404, f"{key_of(request)} has no such version.")
    return version


async def show_version(api: Api, request: Request) -> Response:
    return JSONResponse(version_document(await find_version(api, request)))


async def delete_version(api: Api, request: Request) -> Response:
    version = await find_version(api, request)
    await own_model(api, request)
    used = await api.database.find(Deployment, Deployment.version == version.id, limit=1)
    if used or any(version.id in (run.version, run.prediction.version) for run in api.lifecycle.active.values()):
        raise Problem(
            409, "The version is in use: by a deployment, or by predictions or trainings that have not ended."
        )
    if await api.database.find(Version, Version.base == version.id, limit=1):
        raise Problem(409, "Versions were trained from this one, and run on it. Delete those first.")
    await api.servers.forget(version)
    await api.database.remove(Version, Version.id == version.id)
    if version.training and (training := await api.database.get(Prediction, version.training)):
        await remove_data(api.outputs, training)
        await api.database.save(training)
    return Response(status_code=202)


async def list_deployments(api: Api, request: Request) -> Response:
    return await page(
        api,
        request,
        Deployment,
        Deployment.key,
        Deployment.account == request.state.account,
        document=deployment_document,
    )


async def create_deployment(api: Api, request: Request) -> Response:
    body = await read_body(request, NewDeployment)
    check_hardware(body.hardware)
    await check_release(api, body.model, body.version)
    deployment = Deployment(
        key=f"{request.state.account}/{body.name}",
        account=request.state.account,
        created_at=now(),
        released_at=now(),
        number=1,
        **body.model_dump(exclude={"name"}),
    )
    if not await api.database.insert(deployment):
        raise Problem(409, f"There is a deployment {deployment.key} already.")
    headers = {"Location": f"{api.settings.public_url}/v1/deployments/{deployment.key}"}
    return JSONResponse(deployment_document(deployment), 200, headers)  # not 201: as Replicate documents it


async def check_release(api: Api, model: str, version: str) -> None:
    found = await api.database.get(Version, version)
    if not found or found.model != model:
        raise Problem(422, f"- version: {model} has no such version\n")


async def show_deployment(api: Api, request: Request) -> Response:
    return JSONResponse(deployment_document(await api.registry.deployment(key_of(request), request.state.account)))


async def change_deployment(api: Api, request: Request) -> Response:
    body = await read_body(request, ChangedDeployment)
    deployment = await api.registry.deployment(key_of(request), request.state.account)
    changes = body.model_dump(exclude_none=True)
    if "version" in changes:
        await check_release(api, deployment.model, changes["version"])
    if "hardware" in changes:
        check_hardware(changes["hardware"])
    for name, value in changes.items():
        setattr(deployment, name, value)
    deployment.number += 1
    deployment.released_at = now()
    await api.database.save(deployment)
    return JSONResponse(deployment_document(deployment))


async def delete_deployment(api: Api, request: Request) -> Response:
    deployment = await api.registry.deployment(key_of(request), request.state.account)
    await api.database.remove(Deployment, Deployment.key == deployment.key)
    return Response(status_code=204)
