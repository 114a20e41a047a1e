"""The output of a model that yields, while it runs."""

import asyncio
from typing import Any

from easel.api.active import ActivePrediction
from easel.api.outputs import Outputs
from easel.api.webhooks import WebhookSender


async def append_output(run: ActivePrediction, output: list[Any], outputs: Outputs, webhooks: WebhookSender) -> None:
    """Keep and tell what a model has yielded so far: its files on disk, the rest in memory until the end."""
    async with run.saving:
        if run.ending or len(output) <= len(run.prediction.output or []):
            return  # it is over, or this came later than what said more
        try:
            kept = await asyncio.to_thread(outputs.save, run.id, output)
        except Exception:  # the end will meet the same, and say so
            return
        if not run.ending:
            run.prediction.output = kept
            webhooks.notify(run.prediction, "output")
            run.tell()
