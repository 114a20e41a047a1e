"""Models, their versions, and which Cog servers run them."""

import hashlib
import json
from typing import Any

from easel.api.cog_answers import members
from easel.api.database import Database
from easel.api.problems import Problem
from easel.api.tables import Deployment, ModelRow, Prediction, ServerRow, Version
from easel.api.telemetry import now

EASEL_COG_VERSION = "0.23.1"  # Cog's server does not say which Cog built it


def version_id(model: str, schema: dict[str, Any], salt: str = "") -> str:
    """64 hexadecimal digits. Without a `salt`, the same model and schema always give the same."""
    text = json.dumps([model, schema, salt], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Registry:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.yielding: set[str] = set()  # the versions whose output grows while they run

    async def open(self) -> None:
        for version in await self._database.find(Version):
            self._note(version)

    def _note(self, version: Version) -> None:
        output = members(members(members(version.openapi_schema.get("components")).get("schemas")).get("Output"))
        if output.get("x-cog-array-type") == "iterator":
            self.yielding.add(version.id)

    async def add_model(self, key: str, **values: Any) -> ModelRow | None:
        """Return the new model, or None if there is one of this name."""
        model = ModelRow(key=key, created_at=now(), **values)
        return model if await self._database.insert(model) else None

    async def add_version(self, model: str, schema: dict[str, Any], cog_version: str, salt: str = "") -> Version:
        identity = version_id(model, schema, salt)
        version = await self._database.get(Version, identity)
        if not version:
            version = Version(
                id=identity, model=model, created_at=now(), cog_version=cog_version, openapi_schema=schema
            )
            await self._database.save(version)
        self._note(version)
        return version

    async def connect(self, url: str, version: Version, pushed: bool) -> None:
        """`url` runs `version` from now on, and no other version of that model."""
        row = ServerRow(url=url, version=version.id, model=version.model, pushed=pushed)
        await self._database.replace(row, ServerRow.url == url, ServerRow.model == version.model)

    async def latest(self, model: str) -> Version | None:
        found = await self._database.find(
            Version, Version.model == model, order=(Version.created_at.desc(), Version.id.desc()), limit=1
        )
        return found[0] if found else None

    async def example(self, model: str) -> Prediction | None:
        found = await self._database.find(
            Prediction,
            Prediction.model == model,
            Prediction.source == "web",
            order=Prediction.created_at.desc(),
            limit=1,
        )
        return found[0] if found else None

    async def to_run(self, reference: str) -> Version:
        """Return the version that `owner/name`, `owner/name:id` or `id` stands for.

        Where no server runs it any more but one runs the model's newest, that one: Replicate substitutes as well.
        """
        model, _, identity = reference.rpartition(":") if ":" in reference else ("", "", reference)
        if "/" in identity:
            return await self.newest(identity)
        version = await self._database.get(Version, identity)
        if not version or (model and version.model != model):
            raise Problem(
                422,
                "The specified version does not exist (or perhaps you don't have permission to use it?)",
                invalid_fields=[{"type": "invalid", "field": "version", "description": "there is no such version"}],
            )
        if not await self._database.find(ServerRow, ServerRow.version == version.id, limit=1):
            newest = await self.newest(version.model)
            if await self._database.find(ServerRow, ServerRow.version == newest.id, limit=1):
                return newest
        return version

    async def newest(self, model: str) -> Version:
        version = await self.latest(model)
        if not version:
            raise Problem(404, f"The model {model} has no version yet. Push one, or wait until its server is ready.")
        return version

    async def deployment(self, key: str, account: str) -> Deployment:
        deployment = await self._database.get(Deployment, key)
        if not deployment or deployment.account != account:
            raise Problem(404, f"There is no deployment {key}. GET /v1/deployments lists yours.")
        return deployment
