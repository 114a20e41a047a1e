"""Versions that trainings made: the base model with a LoRA, which each prediction brings to the base model's server."""

from typing import Any

from easel.api.cog_answers import members
from easel.api.database import Database
from easel.api.outputs import FILE
from easel.api.registry import version_id
from easel.api.tables import ModelRow, Prediction, Version

PREFIX, PATH = "Training", "/trainings"  # of what is a trainer's, in the document that Cog writes


def training_schema(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the document with the trainer's Input in the place of the runner's; None where no trainer is in it."""
    schemas = members(members(document.get("components")).get("schemas"))
    given = schemas.get(f"{PREFIX}Input")
    return {"components": {"schemas": schemas | {"Input": given}}} if given else None


def schema_of_trained(document: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a version that was trained from one with this document: it is not trained on."""
    components = members(document.get("components"))
    schemas = {name: one for name, one in members(components.get("schemas")).items() if not name.startswith(PREFIX)}
    paths = {name: one for name, one in members(document.get("paths")).items() if not name.startswith(PATH)}
    return document | {"paths": paths, "components": components | {"schemas": schemas}}


async def finish_training(database: Database, training: Prediction) -> Version | None:
    """Return the version that a training which has succeeded makes, and write it into its output.

    Where that cannot be, the training has failed, and None is returned.
    """
    weights = members(training.output).get("weights", training.output)
    base = await database.get(Version, training.version)
    if not base or not await database.get(ModelRow, training.destination):
        problem = f"The model {training.destination} was deleted meanwhile, so there is no version of it."
    elif set(members(weights)) != {FILE}:
        problem = "The trainer gave no file of weights."
    else:
        schema = schema_of_trained(base.openapi_schema)
        version = Version(
            id=version_id(training.destination or "", schema, training.id),
            model=training.destination,
            created_at=training.completed_at,
            cog_version=base.cog_version,
            openapi_schema=schema,
            base=base.id,
            training=training.id,
        )
        training.output = {"version": f"{version.model}:{version.id}", "weights": weights}
        return version
    training.status, training.error = "failed", problem
    return None
