"""What an image on the page says of itself: the page sends it here, since a browser cannot verify it."""

import asyncio
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.page.proxy import problem

MAX_BODY_BYTES = 32 * 2**20  # more than the largest image that Easel makes


class Signatures:
    """`cache` is where this machine's own certificate may be kept."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._turn = asyncio.Semaphore(1)  # one image in memory and one core, whatever is asked

    async def answer(self, request: Request) -> Response:
        """Return the report of the image in the body, as `easel verify --json` has it."""
        size = request.headers.get("content-length", "")
        if not size.isdigit() or int(size) > MAX_BODY_BYTES:
            return problem(413, "Payload too large", f"An image has at most {MAX_BODY_BYTES // 2**20} MiB.")
        async with self._turn:
            return JSONResponse(await asyncio.to_thread(self._verify, await request.body()))

    def _verify(self, data: bytes) -> dict[str, Any]:
        from easel.images.verify import Authorities, verify_data  # c2pa, which a page without images does not need

        return verify_data(data, Authorities.find(self._cache)).to_json()
