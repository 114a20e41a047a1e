"""OpenAI's images API: `/v1/images/generations` and `/v1/images/edits`. Each request is a prediction like any other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from easel.api.bodies import NewPrediction, read_body
from easel.api.input_files import Size, keep_files
from easel.api.new_prediction import New, new_id
from easel.api.openai_events import events
from easel.api.openai_forms import read_edit, typed_fields
from easel.api.openai_images import MadeImage, read_images, wait_end
from easel.api.openai_inputs import ImageBody, model_input
from easel.api.openai_models import find_version
from easel.api.predictions import start
from easel.api.service import Api
from easel.api.tables import Prediction, Version

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def generate(api: Api, request: Request) -> Response:
    async with opened(api) as new:

        def keep(body: ImageBody) -> None:
            own = {name: value for name, value in (body.model_extra or {}).items() if value is not None}
            new.body.input, new.size = keep_files(api.outputs, new.id, {"prompt": body.prompt, **own})
            del new.body.input["prompt"]

        body = await read_body(request, ImageBody, keep)
        version = await find_version(api, body.model, request.state.account)
        return await answer(api, request, new, body, version, "image_generation")


async def edit(api: Api, request: Request) -> Response:
    async with opened(api) as new:
        body = await read_edit(api, request, new)
        version = await find_version(api, body.model, request.state.account)
        new.body.input |= typed_fields(body, version)
        return await answer(api, request, new, body, version, "image_edit")


@asynccontextmanager
async def opened(api: Api) -> AsyncIterator[New]:
    """Give a new prediction without an input; its files go again if it is not accepted."""
    api.check_disk()
    new = New(new_id(), NewPrediction(input={}), Size())
    try:
        yield new
    finally:
        if not new.accepted:
            await asyncio.to_thread(api.outputs.remove, new.id)


async def answer(api: Api, request: Request, new: New, body: ImageBody, version: Version, kind: str) -> Response:
    """Start the prediction and return its images, or the stream of them. Raises Problem."""
    new.body.input = model_input(body, new.body.input, version.openapi_schema, from_image=kind == "image_edit")
    run = await start(api, request, new, version, previews=body.previews)
    headers = {"x-request-id": run.id}  # which the clients show; GET /v1/predictions/ID tells the rest
    if body.stream:
        stream = events(api, request, run, body, kind)
        return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM_HEADERS | headers)
    await wait_end(api, request, run)
    images = await read_images(api, run.prediction)
    return JSONResponse(document(run.prediction, images, body), headers=headers)


def document(prediction: Prediction, images: list[MadeImage], body: ImageBody) -> dict[str, Any]:
    by_url = body.response_format == "url"
    return {
        "created": int(prediction.created_at),
        "data": [{"url": one.url} if by_url else {"b64_json": one.base64} for one in images],
        "background": "opaque",
        "output_format": images[0].format,
        "quality": body.made_quality,
        "size": images[0].size,
    }
