"""A request for images with `stream: true`: previews as they come, then the images, as server-sent events."""

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from PIL import Image
from starlette.requests import Request

from easel.api.active import ActivePrediction
from easel.api.openai_errors import error_document
from easel.api.openai_images import read_images, wait_gone
from easel.api.openai_inputs import ImageBody
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.updates import Preview

STILL_HERE_S = 15.0  # between two comments, so that nothing on the way takes the connection for dead
MOST_SIDE = 512  # pixels of what a Cog server sends as a preview; Easel's own have 256 at most
QUALITY = 80  # of a preview, which is blurred
NO_TOKENS = {  # which OpenAI's types ask for; no model here counts them
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


async def events(api: Api, request: Request, run: ActivePrediction, body: ImageBody, kind: str) -> AsyncIterator[str]:
    """Yield the events of `kind`, image_generation or image_edit. The prediction is canceled if the reader goes."""
    sent = 0
    counts: dict[int, int] = {}
    gone = asyncio.create_task(wait_gone(request))
    common = {"background": "opaque", "output_format": body.format, "quality": body.made_quality}
    try:
        while True:
            changed, is_over = run.changed, run.ended.is_set()
            for preview in run.previews[sent:]:
                sent += 1
                if content := await asyncio.to_thread(enlarged, preview, body.format):
                    index = counts[preview.image] = counts.get(preview.image, -1) + 1
                    size = f"{preview.width}x{preview.height}"
                    yield event(f"{kind}.partial_image", content, **common, size=size, partial_image_index=index)
            if is_over:
                break
            waiting = asyncio.create_task(changed.wait())
            done, _ = await asyncio.wait({gone, waiting}, timeout=STILL_HERE_S, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if gone in done:
                return
            if not done:
                yield ": still here\n\n"
        try:
            images = await read_images(api, run.prediction)
        except Problem as problem:
            yield sse("error", {"type": "error", "error": error_document(problem)})
            return
        for image in images:
            own = common | {"output_format": image.format, "size": image.size}
            yield event(f"{kind}.completed", image.base64, **own, usage=NO_TOKENS)
    finally:
        gone.cancel()
        if not run.ended.is_set():
            api.lifecycle.do(api.lifecycle.cancel(run))


def event(kind: str, content: str, **members: Any) -> str:
    return sse(kind, {"type": kind, "b64_json": content, "created_at": int(time.time()), **members})


def sse(kind: str, document: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(document)}\n\n"


def enlarged(preview: Preview, file_format: str) -> str | None:
    """Return a preview as base64 of a file of the image's size and format; None for what is none. Blocking."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(preview.data)), formats=("WEBP",)) as small:
            if max(small.size) > MOST_SIDE:
                return None
            whole = small.convert("RGB").resize((preview.width, preview.height), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError):
        return None
    file = io.BytesIO()
    whole.save(file, file_format.upper(), quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode()
