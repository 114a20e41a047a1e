"""What the API tells of itself, and what it does not have."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.api.endpoint import find_account
from easel.api.models import HARDWARE
from easel.api.problems import Problem
from easel.api.serializers import account_document
from easel.api.service import Api


async def show_account(api: Api, request: Request) -> Response:
    return JSONResponse(account_document(request.state.account))


async def list_hardware(api: Api, request: Request) -> Response:
    return JSONResponse([{"sku": sku, "name": name} for sku, name in HARDWARE])


async def show_webhook_secret(api: Api, request: Request) -> Response:
    return JSONResponse({"key": api.webhook_secret(request.state.account)})


async def list_nothing(api: Api, request: Request) -> Response:
    """Return an empty page: of collections."""
    return JSONResponse({"previous": None, "next": None, "results": []})


async def refuse_collection(api: Api, request: Request) -> Response:
    raise Problem(404, "There is no such collection: this API has none. GET /v1/models lists its models.")


async def show_metrics(api: Api, request: Request) -> Response:
    if not tells_all(api, request):
        raise Problem(401, "These figures name models and servers: send Authorization: Bearer <token>.")
    return Response(api.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def show_health(api: Api, request: Request) -> Response:
    full = await asyncio.to_thread(api.disk_is_full)
    health: dict[str, Any] = {"status": "disk full" if full else "ok"}
    if tells_all(api, request):
        health |= {"servers": api.servers.states(), "queue": len(api.lifecycle.queue)}
    return JSONResponse(health, 503 if full else 200)


def tells_all(api: Api, request: Request) -> bool:
    """Return whether the caller may hear of servers and accounts: anybody on this machine alone, else with a token."""
    try:
        return not api.settings.public or bool(find_account(request, api.settings.tokens))
    except Problem:
        return False
