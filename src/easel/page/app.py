"""The page's server: the page, what it shows of the repository, and the way to the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from easel.errors import InputError
from easel.page.guard import Guard
from easel.page.proxy import Proxy
from easel.page.readme import render_readme
from easel.page.samples import find_file, read_examples

STATIC = Path(__file__).parent / "static"
REPLICATE = "https://api.replicate.com"


@dataclass(frozen=True)
class Settings:
    """`api` is the API's address without /v1, `root` the repository whose README and samples are shown."""

    root: Path
    model: str
    api: str
    token: str
    port: int


def create_page_app(settings: Settings) -> Starlette:
    """Raises InputError when the repository has no readable openapi.json."""
    proxy = Proxy(settings.api, settings.token)
    schema = read_schema(settings.root)

    async def show_page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def show_model(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(describe_model, settings, schema))

    async def show_file(request: Request) -> Response:
        path = find_file(settings.root, request.path_params["path"])
        return FileResponse(path) if path else Response("There is no such file.", 404, media_type="text/plain")

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with proxy:
            yield

    name = "/v1/models/{owner}/{name}"
    proxied = [
        ("GET", name),
        ("POST", f"{name}/predictions"),
        ("POST", "/v1/predictions"),
        ("GET", "/v1/predictions/{id}"),
        ("POST", "/v1/predictions/{id}/cancel"),
        ("POST", "/v1/files"),
    ]
    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/page/model.json", show_model),
            Route("/page/output", proxy.fetch_output),
            Route("/repository/{path:path}", show_file),
            Mount("/static", StaticFiles(directory=STATIC)),
            *(Route(path, proxy.forward, methods=[method]) for method, path in proxied),
        ],
        middleware=[Middleware(Guard, port=settings.port)],
        lifespan=running,
    )


def read_schema(root: Path) -> dict[str, Any]:
    path = root / "openapi.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Give --root the folder that has it.") from None


def describe_model(settings: Settings, schema: dict[str, Any]) -> dict[str, Any]:
    """All that the page needs to know besides the API's own answers; read anew each time, as authors edit it."""
    owner, _, name = settings.model.partition("/")
    return {
        "owner": owner,
        "name": name,
        "api": settings.api,
        "at_replicate": settings.api == REPLICATE,
        "openapi_schema": schema,
        "readme": render_readme(settings.root),
        "examples": read_examples(settings.root),
    }
