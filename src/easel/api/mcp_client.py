"""What `easel mcp` asks of Replicate's HTTP API, and images from it, both within limits."""

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx2

from easel.errors import EaselError, InputError
from easel.net.urls import origin, shown_error, split_url

MOST_JSON = 16_000_000  # bytes of an answer: a list of models brings the schema of each
MOST_TOLD = 2000  # characters of an API's refusal
REPLICATE_FILES = "replicate.delivery"  # where Replicate's outputs are


class Image(NamedTuple):
    content: bytes
    media_type: str


@dataclass(frozen=True)
class ApiClient:
    """`base` is without /v1. The token goes to that address alone, and no redirect is followed."""

    base: str
    token: str
    client: httpx2.AsyncClient

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON object that the API answers with. Raises EaselError for everything else."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            sent = None if body is None else json.dumps(body, allow_nan=False).encode()
        except ValueError:
            raise InputError("A number must be finite, and a text must be Unicode. Send others.") from None
        try:
            async with self.client.stream(method, self.base + path, content=sent, headers=headers) as answer:
                text = await read(answer, MOST_JSON)
        except httpx2.TimeoutException:
            raise EaselError(f"The API at {self.base} does not answer in time. Try again later.") from None
        except httpx2.HTTPError as error:
            raise EaselError(
                f"The API at {self.base} cannot be reached ({shown_error(error)}). Start it (`easel api`), or set "
                "REPLICATE_BASE_URL for `easel mcp`."
            ) from None
        try:
            found = json.loads(text or b"")
        except (ValueError, RecursionError):
            found = None
        if answer.status_code == 401:
            raise EaselError(f"The API at {self.base} refuses the token. Set REPLICATE_API_TOKEN for `easel mcp`.")
        if not answer.is_success:
            told = found.get("detail") if isinstance(found, dict) else None
            raise EaselError(f"The API refused it ({answer.status_code}): {str(told or 'no reason given')[:MOST_TOLD]}")
        if not isinstance(found, dict):
            raise EaselError(f"The API at {self.base} answered no JSON object of at most {MOST_JSON} bytes.")
        return found

    async def models(self) -> list[dict[str, Any]]:
        results = (await self.call("GET", "/v1/models")).get("results")
        return [one for one in results or [] if isinstance(one, dict) and "owner" in one and "name" in one]

    async def image(self, address: str, most: int) -> Image | None:
        """Return the image there if it has at most `most` bytes. Only the API's own addresses are opened."""
        url, base = split_url(address), split_url(self.base)
        own = url and base and origin(url) == origin(base)
        if not url or not (own or (url.scheme == "https" and url.hostname == REPLICATE_FILES)):
            return None
        try:
            async with self.client.stream("GET", address) as answer:
                media_type = answer.headers.get("content-type", "").partition(";")[0]
                if answer.status_code != 200 or not media_type.startswith("image/"):
                    return None
                content = await read(answer, most)
        except httpx2.HTTPError:  # The link still stands in the answer.
            return None
        return Image(content, media_type) if content else None


async def read(answer: httpx2.Response, most: int) -> bytes | None:
    """Return the body, or None when it is longer than `most` bytes."""
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > most:
            return None
    return bytes(content)
