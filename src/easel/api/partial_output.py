"""What comes while one runs: the output of a model that yields, and a trainer's validation images."""

import asyncio
from typing import Any

from easel.api.active import ActivePrediction
from easel.api.outputs import FILE, Outputs
from easel.api.validation_images import VALIDATION_IMAGES, ValidationImage
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


async def keep_validation_images(run: ActivePrediction, images: list[ValidationImage], outputs: Outputs) -> None:
    """Keep those of a training that are not known yet: their files on disk, what is said of them among the metrics."""
    if not run.prediction.destination or not images:
        return
    async with run.saving:
        known = run.prediction.metrics.get(VALIDATION_IMAGES, [])
        if run.ending or len(images) <= len(known):
            return  # it is over, or this came later than what said more
        try:
            new = await asyncio.to_thread(save_images, run.id, images[len(known) :], len(known), outputs)
        except (OSError, ValueError):  # a full disk, of which the end will tell; or no base64
            return
        if not run.ending:
            run.prediction.metrics = run.prediction.metrics | {VALIDATION_IMAGES: [*known, *new]}


def save_images(run_id: str, images: list[ValidationImage], first: int, outputs: Outputs) -> list[dict[str, Any]]:
    """Return the metric's entries, each with a file, whose numbers begin with `first`."""
    kept = []
    for k, one in enumerate(images, first):
        name = f"validation-{k}.webp"
        outputs.put_base64(run_id, name, one.data)
        kept.append({"step": one.step, "width": one.width, "height": one.height, "image": {FILE: name}})
    return kept
