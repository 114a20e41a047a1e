"""The images of a prediction that was asked for through OpenAI's API: waited for, read, or why there are none."""

import asyncio
import base64
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from starlette.requests import ClientDisconnect, Request

from easel.api.active import ActivePrediction
from easel.api.dispatcher import LOST
from easel.api.lifecycle import UNKEPT
from easel.api.outputs import map_output
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.tables import Prediction

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
NO_IMAGE = "The model gave no image: its output is of another kind. Ask for it at /v1/predictions."


@dataclass(frozen=True)
class MadeImage:
    """`size` is WIDTHxHEIGHT in pixels, `url` where the file is as long as the prediction is kept."""

    base64: str
    size: str
    format: str
    url: str


async def wait_gone(request: Request) -> None:
    """Return when the client has hung up; its request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def wait_end(api: Api, request: Request, run: ActivePrediction) -> None:
    """Return when it has ended. Cancels it and raises ClientDisconnect if the client hangs up before."""
    gone, over = asyncio.create_task(wait_gone(request)), asyncio.create_task(run.ended.wait())
    try:
        await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        over.cancel()
        if not run.ended.is_set():
            api.lifecycle.do(api.lifecycle.cancel(run))
    if not run.ended.is_set():
        raise ClientDisconnect


async def read_images(api: Api, prediction: Prediction) -> list[MadeImage]:
    """Return the files of one that has ended. Raises Problem: 400 for what the caller can correct, otherwise 500."""
    if prediction.status != "succeeded":
        raise failure(prediction)
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return name

    map_output(prediction.output, note)
    found = [(name, api.outputs.path(prediction.id, name)) for name in names]

    def read() -> list[MadeImage]:
        base = f"{api.serializers.base}/delivery/{prediction.id}"
        return [read_one(path, f"{base}/{name}") for name, path in found if path]

    try:
        images = await asyncio.to_thread(read)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError):
        images = []
    if not images:
        raise Problem(400, NO_IMAGE, param="model", code="invalid_value")
    return images


def read_one(path: Path, url: str) -> MadeImage:
    with Image.open(path, formats=FORMATS) as image:
        size, kind = f"{image.width}x{image.height}", (image.format or "").lower()
    return MadeImage(base64.b64encode(path.read_bytes()).decode(), size, kind, url)


def failure(prediction: Prediction) -> Problem:
    """Return what OpenAI's clients are told of a prediction that gave no images: they repeat what is a 500."""
    if prediction.status != "failed":
        return Problem(400, "The request was canceled before its images were made.", code="canceled")
    error = prediction.error or "It failed, and the model did not say why."
    if error in (LOST, UNKEPT):
        return Problem(500, error)
    return Problem(400, error, kind="image_generation_user_error", code="generation_failed")
