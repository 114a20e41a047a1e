"""The application: everything wired together, and its routes."""

import asyncio
import base64
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from easel.api import about, callbacks, files, models, predictions, search, streams
from easel.api.bodies import Turns
from easel.api.catalogue import Catalogue
from easel.api.data_lock import alone
from easel.api.deliveries import Deliveries
from easel.api.documents import Documents
from easel.api.endpoint import DISK_FULL, Endpoint, Handler, find_account
from easel.api.examples import is_of_repository, read_examples, read_readme
from easel.api.limits import Limiter
from easel.api.outputs import Outputs
from easel.api.own_files import OwnFiles
from easel.api.own_server import OwnServer
from easel.api.problems import Problem
from easel.api.room import Room
from easel.api.runs import Runs
from easel.api.servers import Servers
from easel.api.settings import MB, Settings, derive, secret_of
from easel.api.store import Store
from easel.api.streams import stream_key
from easel.api.sweep import sweep_for_ever
from easel.api.tables import Model, Prediction, ServerRow
from easel.api.watch import Metrics, make_logger, now
from easel.api.work import Work


class Api:
    """What the handlers work with."""

    def __init__(self, settings: Settings, own_server: OwnServer | None = None) -> None:
        """`own_server` is the one that this process has started, which it restarts when that is stuck."""
        self.settings = settings
        self.log, self.metrics = make_logger(), Metrics()
        self.store = Store(settings.database_url)
        self.outputs = Outputs(settings.data)
        self.secret = secret_of(settings.data)
        self.catalogue = Catalogue(self.store)
        self.documents = Documents(settings.public_url, self.outputs, settings.page_url, self.stream_url)
        self.client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None), trust_env=False)
        self.deliveries = Deliveries(
            self.documents, self.store, self.metrics, self.log, self.webhook_secret, settings.allow_private_webhooks
        )
        self.runs = Runs(
            self.store,
            self.outputs,
            self.deliveries,
            self.metrics,
            self.log,
            callback_url=settings.callback_url,
            secret=derive(self.secret, "callback"),
            room=Room(len(set(settings.tokens.values())), settings.max_queue),
            max_seconds=settings.max_seconds,
            grace_s=settings.cancel_grace_s,
        )
        self.own_files = OwnFiles(settings.public_url, self.outputs)
        self.large_bodies = Turns()
        self.quotas: dict[str, asyncio.Lock] = {}
        self.readers: Counter[str] = Counter()  # of streams, by account
        work = Work(self.runs, self.store, self.metrics, self.log, self.own_files.resolve)
        self.servers = Servers(
            self.store,
            self.catalogue,
            self.runs,
            work,
            self.metrics,
            self.log,
            self.client,
            self._introduce,
            own_server,
        )
        self._sweeper: asyncio.Task | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything that goes on beside the answers. Raises InputError if the database cannot be opened."""
        with alone(self.settings.data):
            async with self._at_work():
                yield

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        await self.store.open()
        await self.catalogue.open()
        for key, _ in self.settings.servers:
            await self.catalogue.add_model(key, visibility="public", hardware="cpu")
        if not self.settings.allow_push:  # now, whatever was pushed when it was allowed
            await self.store.remove(ServerRow, ServerRow.pushed.is_(True))
        await self.servers.open(self.settings.servers)
        self.deliveries.resume(await self.store.find(Prediction, Prediction.webhook_pending.is_(True)))
        self._sweeper = asyncio.create_task(sweep_for_ever(self.store, self.outputs, self.settings, self.log))
        try:
            yield
        finally:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            await self.servers.close()
            await self.deliveries.close()
            await self.client.aclose()
            await self.store.close()

    async def _introduce(self, model: str, version: str, schema: dict[str, Any]) -> None:
        """README and examples of a model that is the repository's own, by its inputs."""
        root = self.settings.root
        if root and await asyncio.to_thread(is_of_repository, root, schema):
            examples = await asyncio.to_thread(
                read_examples, root, model, version, self.outputs, self.settings.public_url, now()
            )
            row = await self.find_model(model, model.partition("/")[0])
            row.readme = read_readme(root, model.partition("/")[2])
            await self.store.save(row, *examples)

    def stream_url(self, prediction: Prediction) -> str | None:
        """Where the output of a model that yields comes as it is made; None for other models."""
        if prediction.version not in self.catalogue.yielding:
            return None
        return f"{self.settings.public_url}/stream/{prediction.id}/{stream_key(self.secret, prediction.id)}"

    def webhook_secret(self, account: str) -> str:
        """Of one account alone, and nothing follows from it: `whsec_` and base64 of 32 bytes."""
        return f"whsec_{base64.b64encode(derive(self.secret, f'webhook {account}')).decode()}"

    def disk_is_full(self) -> bool:
        return shutil.disk_usage(self.settings.data).free < self.settings.least_free_bytes

    def check_disk(self) -> None:
        """Raises Problem (507) if there is too little room for one more request's files."""
        if self.disk_is_full():
            raise Problem(507, DISK_FULL)

    def tells_all(self, request: Request) -> bool:
        """Whether who asks may hear of servers and accounts: anybody on this machine alone, otherwise with a token."""
        try:
            return not self.settings.public or bool(find_account(request, self.settings.tokens))
        except Problem:
            return False

    def check_owner(self, owner: str, account: str) -> None:
        """Raises Problem (403). Where all tokens are of one account, everything is its own."""
        if owner != account and len(set(self.settings.tokens.values())) > 1:
            raise Problem(403, f"{owner} is another account: only its own tokens may change what it has.")

    def sees(self, model: Model, account: str) -> bool:
        """Private models are for their owner; where all tokens are of one account, everything is its own."""
        shared = len(set(self.settings.tokens.values())) > 1
        return not shared or model.visibility == "public" or model.key.partition("/")[0] == account

    async def find_model(self, key: str, account: str) -> Model:
        """Raises Problem (404) for one that is not there, or is not for this account to see."""
        model = await self.store.get(Model, key)
        if not model or not self.sees(model, account):
            raise Problem(404, f"There is no model {key} here. GET /v1/models lists those that there are.")
        return model

    def active_document(self, prediction: Prediction) -> dict[str, Any]:
        """As it is now, which the database may not know yet."""
        run = self.runs.active.get(prediction.id)
        return self.documents.prediction(run.prediction if run else prediction)


def create_app(api: Api) -> Starlette:
    settings = api.settings
    creates = Limiter(settings.creates_per_minute)
    others, reads = Limiter(3000), Limiter(60000)  # Replicate's
    small, large = 1 * MB, settings.max_body_bytes

    def route(method: str, path: str, handler: Handler, limiter: Limiter | None = others, limit: int = small) -> Route:
        return Route(path, Endpoint(api, handler, path, limiter, limit), methods=[method])

    model, deployment = "/v1/models/{owner}/{name}", "/v1/deployments/{owner}/{name}"
    upload = settings.max_file_bytes + MB
    routes = [
        route("POST", "/v1/predictions", predictions.create, creates, large),
        route("GET", "/v1/predictions", predictions.list_all),
        route("GET", "/v1/predictions/{id}", predictions.show, reads),
        route("POST", "/v1/predictions/{id}/cancel", predictions.cancel),
        route("POST", f"{model}/predictions", predictions.create_by_model, creates, large),
        route("POST", f"{deployment}/predictions", predictions.create_by_deployment, creates, large),
        route("GET", "/stream/{id}/{key}", streams.stream, None),
        route("GET", "/v1/models", models.list_models),
        route("POST", "/v1/models", models.create_model),
        route("QUERY", "/v1/models", search.search_models),
        route("GET", "/v1/search", search.search_models),
        route("GET", model, models.show_model),
        route("PATCH", model, models.change_model),
        route("DELETE", model, models.delete_model),
        route("GET", f"{model}/readme", models.show_readme),
        route("GET", f"{model}/examples", models.list_examples),
        route("GET", f"{model}/versions", models.list_versions),
        route("POST", f"{model}/versions", models.create_version),
        route("GET", f"{model}/versions/{{id}}", models.show_version),
        route("DELETE", f"{model}/versions/{{id}}", models.delete_version),
        route("POST", f"{model}/versions/{{id}}/trainings", about.refuse_training),
        route("GET", "/v1/trainings", about.list_nothing),
        route("GET", "/v1/trainings/{id}", about.refuse_training),
        route("POST", "/v1/trainings/{id}/cancel", about.refuse_training),
        route("GET", "/v1/deployments", models.list_deployments),
        route("POST", "/v1/deployments", models.create_deployment),
        route("GET", deployment, models.show_deployment),
        route("PATCH", deployment, models.change_deployment),
        route("DELETE", deployment, models.delete_deployment),
        route("POST", "/v1/files", files.create, others, upload),
        route("GET", "/v1/files", files.list_all),
        route("GET", "/v1/files/{id}", files.show),
        route("DELETE", "/v1/files/{id}", files.delete),
        route("GET", "/v1/files/{id}/download", files.download, None),
        route("GET", "/v1/account", about.show_account),
        route("GET", "/v1/hardware", about.list_hardware),
        route("GET", "/v1/collections", about.list_nothing),
        route("GET", "/v1/collections/{slug}", about.refuse_collection),
        route("GET", "/v1/webhooks/default/secret", about.show_webhook_secret),
        route("GET", "/delivery/{id}/{name}", files.deliver, None),
        route("POST", "/cog/{id}/{proof}", callbacks.take_news, None, 128 * MB),
        route("GET", "/metrics", about.show_metrics, None),
        route("GET", "/health", about.show_health, None),
    ]

    async def refuse(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        problem = Problem(status, f"There is no {request.method} {request.scope['path'][:200]} in this API.").response()
        if status == 405:
            fitting = (one.methods for one in routes if one.matches(request.scope)[0] != Match.NONE)
            problem.headers["Allow"] = ", ".join(sorted(set().union(*fitting)))
        return problem

    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse})
    app.router.redirect_slashes = False  # it would redirect to whatever host the request names
    return app
