"""`/v1/models` as OpenAI has it, for its clients; and which model a request for images means."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.api import models
from easel.api.openai_errors import wants_openai
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.tables import ModelRow, Version

MOST = 1000  # models in a list, which OpenAI gives without pages


async def list_models(api: Api, request: Request) -> Response:
    """Answer in OpenAI's form to its clients, in Replicate's to all others."""
    if not wants_openai(request):
        return await models.list_models(api, request)
    found = [model_document(one) for one in await visible(api, request.state.account)]
    return JSONResponse({"object": "list", "data": found})


async def show_model(api: Api, request: Request) -> Response:
    if not wants_openai(request):
        return await models.show_model(api, request)
    return JSONResponse(model_document(await models.find_model(api, request)))


async def show_by_name(api: Api, request: Request) -> Response:
    """A model by its name alone, without its owner; Replicate has no such address."""
    return JSONResponse(model_document(await find_model(api, request.path_params["name"], request.state.account)))


def model_document(model: ModelRow) -> dict[str, Any]:
    owner = model.key.partition("/")[0]
    return {"id": model.key, "object": "model", "created": int(model.created_at), "owned_by": owner}


async def visible(api: Api, account: str) -> list[ModelRow]:
    rows = await api.database.find(ModelRow, order=(ModelRow.created_at, ModelRow.key), limit=MOST)
    return [one for one in rows if api.sees(one, account)]


async def find_model(api: Api, name: str, account: str) -> ModelRow:
    """Return the model of a name, "owner/name" or "name". Raises Problem (404)."""
    if "/" in name:
        return await api.find_model(name, account)
    found = [one for one in await visible(api, account) if one.key.partition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    why = f"is of {len(found)} owners: write owner/{name[:100]}" if found else "is not here: GET /v1/models lists all"
    raise Problem(404, f"The model {name[:100]!r} {why}.", param="model", code="model_not_found")


async def find_version(api: Api, name: str | None, account: str) -> Version:
    """Return the version that a request's `model` means: a model's newest, or that after a colon.

    None means the only model that there is. Raises Problem (404, 400).
    """
    if not name:
        found = await visible(api, account)
        if len(found) != 1:
            listed = ", ".join(one.key for one in found[:20]) or "none, so far"
            raise Problem(
                400, f"model is required. There is {listed}.", param="model", code="missing_required_parameter"
            )
        return await api.registry.newest(found[0].key)
    key, _, identity = name.partition(":")
    model = await find_model(api, key, account)
    return await (api.registry.to_run(f"{model.key}:{identity}") if identity else api.registry.newest(model.key))
