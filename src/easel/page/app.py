"""The page's server: the page, the README of a model as HTML, and the way to the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from easel.page.datasets import Datasets
from easel.page.guard import PAGES, Guard
from easel.page.planner import Planner
from easel.page.proxy import PASSED, Proxy, are_names, problem
from easel.page.readme import render
from easel.page.signatures import Signatures

STATIC = Path(__file__).parent / "static"
REPLICATE = "https://api.replicate.com"


@dataclass(frozen=True)
class PageSettings:
    """`api` is the API's address without /v1, `model` the one that `/` shows, `samples` and `weights` the
    repository's folders, `cache` this machine's.
    """

    model: str
    api: str
    token: str
    port: int
    samples: Path
    weights: Path
    cache: Path


def create_page_app(settings: PageSettings) -> Starlette:
    """Return the application. Everything that it shows of a model is the API's."""
    proxy = Proxy(settings.api, settings.token)
    planner = Planner(settings.samples)
    datasets = Datasets(settings.weights)
    signatures = Signatures(settings.cache)
    about = {"model": settings.model, "api": settings.api, "at_replicate": settings.api == REPLICATE}

    async def show_page(request: Request) -> Response:
        if not PAGES.fullmatch(request.scope["path"]):
            return problem(404, "Not found", "There is no such address.")
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def show_settings(request: Request) -> Response:
        return JSONResponse(about)

    async def show_readme(request: Request) -> Response:
        """Return the model's README as HTML; null where it has none."""
        answer = await proxy.ask_readme(request)
        if answer.status_code == 404 and are_names(request):
            return JSONResponse({"html": None})
        if answer.status_code != 200:
            return answer
        text = bytes(answer.body).decode(errors="replace")
        return JSONResponse({"html": await asyncio.to_thread(render, text) if text.strip() else None})

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with proxy:
            yield
        datasets.close()
        await planner.close()

    models = ("/{owner}/{name}", "/{owner}/{name}/versions/{id}")
    pages = ("/", "/models", "/planner", "/p/{id}", *models, *(f"{model}/train" for model in models))
    return Starlette(
        routes=[
            Route("/page/settings.json", show_settings),
            Route("/page/readme/{owner}/{name}", show_readme),
            Route("/page/output", proxy.fetch_output),
            Route("/page/signature", signatures.answer, methods=["POST"]),
            Route("/page/planner.json", planner.show),
            Route("/page/planner", planner.answer, methods=["POST"]),
            Route("/page/dataset", datasets.answer, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
            *(Route(one.path, proxy.passing(one), methods=[one.method]) for one in PASSED),
            *(Route(path, show_page) for path in pages),
        ],
        middleware=[Middleware(Guard, port=settings.port)],
        lifespan=running,
    )
