"""What is removed when its time is over: inputs and outputs of predictions, then their rows; uploaded files."""

import asyncio
from typing import Any

from sqlalchemy import select

from easel.api.database import Database
from easel.api.outputs import Outputs
from easel.api.settings import Settings
from easel.api.tables import FINAL, File, Prediction, Version
from easel.api.telemetry import describe_error, now
from easel.api.validation_images import VALIDATION_IMAGES

BATCH = 100  # predictions at a time: each may hold megabytes
ORPHAN_S = 3600.0


async def remove_expired_forever(database: Database, outputs: Outputs, settings: Settings, log: Any) -> None:
    while True:
        try:
            while await remove_expired(database, outputs, settings):
                pass
        except Exception as error:  # the next round may succeed
            log.error("remove_expired", **describe_error(error))
        await asyncio.sleep(min(60.0, max(0.25, settings.retention_s / 4)))


async def remove_data(outputs: Outputs, one: Prediction) -> None:
    """Remove the files of what has ended, and from its row, which is not saved here, what it says of them."""
    await asyncio.to_thread(outputs.remove, one.id)
    one.input, one.output, one.logs, one.data_removed = {}, None, "", True
    one.metrics = {name: value for name, value in one.metrics.items() if name != VALIDATION_IMAGES}


async def remove_expired(database: Database, outputs: Outputs, settings: Settings) -> bool:
    """Remove what is expired, as Replicate: a prediction stays, without input, output and logs; `data_removed` says so.

    True: there is more.
    """
    over = await database.find(
        Prediction,
        Prediction.completed_at < now() - settings.retention_s,
        Prediction.data_removed.is_(False),
        Prediction.source == "api",
        Prediction.status.in_(FINAL),
        limit=BATCH,
    )
    # What a training gave stays with its version.
    versions = await database.find(Version, Version.training.in_([one.id for one in over])) if over else ()
    trained = {version.training for version in versions}
    for prediction in over:
        if prediction.id in trained:
            await asyncio.to_thread(outputs.remove_inputs, prediction.id)
            prediction.input, prediction.data_removed = {}, True
        else:
            await remove_data(outputs, prediction)
    if over:
        await database.save(*over)
    await database.remove(
        Prediction,
        Prediction.completed_at < now() - settings.row_lifetime_s,
        Prediction.data_removed.is_(True),
        Prediction.source == "api",
        Prediction.webhook_pending.is_(False),
        Prediction.id.not_in(select(Version.training).where(Version.training.is_not(None))),
    )
    for file in await database.find(File, File.expires_at < now()):
        (outputs.uploads / file.id).unlink(missing_ok=True)
        await database.remove(File, File.id == file.id)
    for path in outputs.uploads.iterdir():  # left by a process that was killed between the bytes and the row
        if path.stat().st_mtime < now() - ORPHAN_S and not await database.get(File, path.name):
            path.unlink(missing_ok=True)
    for identity, changed_at in await asyncio.to_thread(lambda: list(outputs.folders())):
        if changed_at < now() - ORPHAN_S and not await database.get(Prediction, identity):
            await asyncio.to_thread(outputs.remove, identity)
    return len(over) == BATCH
