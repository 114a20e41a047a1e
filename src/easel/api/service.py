"""What the handlers work with: everything that goes on beside the answers, wired together."""

import asyncio
import base64
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from easel.api.bodies import Turns
from easel.api.database import Database
from easel.api.dispatcher import Dispatcher
from easel.api.examples import is_of_repository, read_examples, read_readme
from easel.api.lifecycle import Lifecycle
from easel.api.outputs import Outputs
from easel.api.own_files import OwnFiles
from easel.api.own_server import OwnServer
from easel.api.problems import DISK_FULL, Problem
from easel.api.queue_limits import QueueLimits
from easel.api.registry import Registry
from easel.api.retention import remove_expired_forever
from easel.api.serializers import Serializers
from easel.api.servers import Servers
from easel.api.settings import Settings, derive, secret_of, stream_key
from easel.api.tables import ModelRow, Prediction, ServerRow
from easel.api.telemetry import Metrics, make_logger, now
from easel.api.trainer import Trainer
from easel.api.webhooks import WebhookSender
from easel.files import single_instance_lock


class Api:
    """Hold the parts of the API, start and stop them, and answer what several handlers ask."""

    def __init__(
        self,
        settings: Settings,
        own_servers: Sequence[OwnServer] = (),
        training_server: tuple[str, OwnServer] | None = None,
    ) -> None:
        """`own_servers` are those of this process, which starts them, again when one is stuck or has died.

        `training_server`: the name of a model, and the server that trains it.
        """
        self.settings = settings
        self.log, self.metrics = make_logger(), Metrics()
        self.database = Database(settings.database_url)
        self.outputs = Outputs(settings.data)
        self.secret = secret_of(settings.data)
        self.registry = Registry(self.database)
        self.serializers = Serializers(settings.public_url, self.outputs, settings.page_url, self.stream_url)
        self.client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None), trust_env=False)
        self.webhooks = WebhookSender(
            self.serializers,
            self.database,
            self.metrics,
            self.log,
            self.webhook_secret,
            settings.allow_private_webhooks,
        )
        self.lifecycle = Lifecycle(
            self.database,
            self.outputs,
            self.webhooks,
            self.metrics,
            self.log,
            callback_url=settings.callback_url,
            secret=derive(self.secret, "callback"),
            limits=QueueLimits(len(set(settings.tokens.values())), settings.max_queue),
            max_seconds=settings.max_seconds,
            grace_s=settings.cancel_grace_s,
        )
        self.own_files = OwnFiles(settings.public_url, self.outputs)
        self.large_bodies = Turns()
        self.quotas: dict[str, asyncio.Lock] = {}
        self.readers: Counter[str] = Counter()  # of streams, by account
        dispatcher = Dispatcher(self.lifecycle, self.database, self.metrics, self.log, self.own_files.resolve)
        self.servers = Servers(
            self.database,
            self.registry,
            self.lifecycle,
            dispatcher,
            self.metrics,
            self.log,
            self.client,
            self._load_readme_and_examples,
            own_servers,
        )
        self.trainer = (
            Trainer(*training_server, self.lifecycle, dispatcher, self.log, self.client) if training_server else None
        )
        self._sweeper: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything that goes on beside the answers. Raises InputError if the database cannot be opened."""
        busy = f"Another `easel api` works with {self.settings.data}. Stop it, or choose another --data."
        with single_instance_lock(self.settings.data / "lock", busy):
            async with self._at_work():
                yield

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        await self.database.open()
        await self.registry.open()
        for key, _ in self.settings.servers:
            await self.registry.add_model(key, visibility="public", hardware="cpu")
        if not self.settings.allow_push:  # now, whatever was pushed when it was allowed
            await self.database.remove(ServerRow, ServerRow.pushed.is_(True))
        await self.servers.open(self.settings.servers)
        if self.trainer:
            self.trainer.open()
        self.webhooks.resume(await self.database.find(Prediction, Prediction.webhook_pending.is_(True)))
        self._sweeper = asyncio.create_task(
            remove_expired_forever(self.database, self.outputs, self.settings, self.log)
        )
        try:
            yield
        finally:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            await self.servers.close()
            if self.trainer:
                await self.trainer.close()
            await self.webhooks.close()
            await self.client.aclose()
            await self.database.close()

    async def _load_readme_and_examples(self, model: str, version: str, schema: dict[str, Any]) -> None:
        """README and examples of a model that is the repository's own, by its inputs."""
        root = self.settings.root
        if root is not None and await asyncio.to_thread(is_of_repository, root, schema):
            examples = await asyncio.to_thread(
                read_examples, root, model, version, self.outputs, self.settings.public_url, now()
            )
            row = await self.find_model(model, model.partition("/")[0])
            row.readme = read_readme(root, model.partition("/")[2])
            await self.database.save(row, *examples)

    def stream_url(self, prediction: Prediction) -> str | None:
        """Return where the output of a model that yields comes as it is made; None for other models."""
        if prediction.version not in self.registry.yielding:
            return None
        return f"{self.settings.public_url}/stream/{prediction.id}/{stream_key(self.secret, prediction.id)}"

    def webhook_secret(self, account: str) -> str:
        """Of one account alone, and nothing follows from it: `whsec_` and base64 of 32 bytes."""
        return f"whsec_{base64.b64encode(derive(self.secret, f'webhook {account}')).decode()}"

    def disk_is_full(self) -> bool:
        return shutil.disk_usage(self.settings.data).free < self.settings.least_free_bytes

    def check_disk(self) -> None:
        """Raise Problem (507) if there is too little room for one more request's files."""
        if self.disk_is_full():
            raise Problem(507, DISK_FULL)

    def check_owner(self, owner: str, account: str) -> None:
        """Raise Problem (403). Where all tokens are of one account, everything is its own."""
        if owner != account and len(set(self.settings.tokens.values())) > 1:
            raise Problem(403, f"{owner} is another account: only its own tokens may change what it has.")

    def sees(self, model: ModelRow, account: str) -> bool:
        """Private models are for their owner; where all tokens are of one account, everything is its own."""
        shared = len(set(self.settings.tokens.values())) > 1
        return not shared or model.visibility == "public" or model.key.partition("/")[0] == account

    async def find_model(self, key: str, account: str) -> ModelRow:
        """Return the model. Raises Problem (404) for one that is not there, or not for this account to see."""
        model = await self.database.get(ModelRow, key)
        if not model or not self.sees(model, account):
            raise Problem(404, f"There is no model {key} here. GET /v1/models lists those that there are.")
        return model

    def active_document(self, prediction: Prediction) -> dict[str, Any]:
        """Return the document of a prediction as it is now, which the database may not know yet."""
        run = self.lifecycle.active.get(prediction.id)
        return self.serializers.prediction(run.prediction if run else prediction)
