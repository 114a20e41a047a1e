"""What is removed when its time is over: inputs and outputs of predictions, uploaded files."""

import asyncio
from typing import Any

from easel.api.outputs import Outputs
from easel.api.settings import Settings
from easel.api.store import Store
from easel.api.tables import FINAL, File, Prediction
from easel.api.watch import now, without_values


async def sweep_for_ever(store: Store, outputs: Outputs, settings: Settings, log: Any) -> None:
    while True:
        try:
            await sweep(store, outputs, settings)
        except Exception as error:  # the next round may succeed
            log.error("sweep", **without_values(error))
        await asyncio.sleep(min(60.0, max(0.25, settings.retention_s / 4)))


async def sweep(store: Store, outputs: Outputs, settings: Settings) -> None:
    """As Replicate: a prediction stays, without input, output and logs; `data_removed` says so."""
    over = await store.find(
        Prediction,
        Prediction.completed_at < now() - settings.retention_s,
        Prediction.data_removed.is_(False),
        Prediction.source == "api",
        Prediction.status.in_(FINAL),
        limit=100,
    )
    for prediction in over:
        await asyncio.to_thread(outputs.remove, prediction.id)
        prediction.input, prediction.output, prediction.logs, prediction.data_removed = {}, None, "", True
    if over:
        await store.save(*over)
    for file in await store.find(File, File.expires_at < now()):
        (outputs.uploads / file.id).unlink(missing_ok=True)
        await store.remove(File, File.id == file.id)
