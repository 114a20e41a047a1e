"""From the page to the API, with the token added here; and back."""

import ipaddress
import re
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.urls import shown_error, shown_url

NAME = re.compile(r"\w(?:[\w-]|\.(?!\.))*")  # what the API's addresses are made of; nothing that leads elsewhere
PASSED_BACK = ("content-type", "retry-after", "ratelimit-remaining", "ratelimit-reset")
MAX_BODY_BYTES = 128 * 2**20  # more than the API takes (100 MiB), which then says so itself
MAX_OUTPUT_BYTES = 256 * 2**20
ANSWER_S = 30.0
DELIVERY = "replicate.delivery"  # where Replicate keeps outputs, under names of its own
SHOWN = re.compile(r"(image|video|audio)/[\w.+-]+")


class Proxy:
    """`api` is an address without /v1. To be entered before use."""

    def __init__(self, api: str, token: str) -> None:
        self._api = api
        self._token = token
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # A proxy from the environment cannot reach this machine's loopback.
        self._client = httpx2.AsyncClient(timeout=ANSWER_S, trust_env=not is_loopback(self._api))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def forward(self, request: Request) -> Response:
        """One call to the API at the same path. There is no query, and no header but the body's type."""
        if not all(NAME.fullmatch(part) for part in request.path_params.values()):
            return problem(404, "Not found", "There is no such address.")
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "easel-page"}
        body = None
        if request.method == "POST":
            size = request.headers.get("content-length", "")
            if not size.isdigit() or int(size) > MAX_BODY_BYTES:
                return problem(413, "Payload too large", f"At most {MAX_BODY_BYTES // 2**20} MiB can be sent.")
            headers |= {"Content-Type": request.headers.get("content-type", ""), "Content-Length": size}
            body = request.stream()
        url = self._api + request.scope["path"]
        try:
            answer = await self._client.request(request.method, url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            detail = f"{shown_url(self._api)} does not answer ({shown_error(error)}). Is it running?"
            return problem(502, "No answer from the API", detail)
        kept = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        return Response(answer.content, answer.status_code, kept)

    async def fetch_output(self, request: Request) -> Response:
        """A file that a prediction made, so that the page can save it: browsers save only what is of one origin."""
        url = request.query_params.get("url", "")
        if not self._is_output(url):
            return problem(404, "Not found", "This is no address of an output.")
        try:
            async with self._client.stream("GET", url, headers={"User-Agent": "easel-page"}) as answer:
                content = bytearray()
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_OUTPUT_BYTES:
                        return problem(502, "Too large", "The output is too large to be passed on.")
        except httpx2.HTTPError as error:
            return problem(502, "No answer from the API", f"The output cannot be fetched ({shown_error(error)}).")
        if answer.status_code != 200:
            return problem(answer.status_code, "Not there", "The output is gone: it is kept for an hour.")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        # It comes from a model: whatever it is, it must not run as a part of this page.
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, max-age=3600"}
        kind = kind if SHOWN.fullmatch(kind) else "application/octet-stream"
        return Response(bytes(content), media_type=kind, headers=headers)

    def _is_output(self, url: str) -> bool:
        try:
            parts, own = urlsplit(url), urlsplit(self._api)
            port, own_port = parts.port, own.port
        except ValueError:
            return False
        if parts.username or parts.password or not parts.hostname:
            return False
        if (parts.scheme, parts.hostname, port) == (own.scheme, own.hostname, own_port):
            return True
        return parts.scheme == "https" and port is None and f".{parts.hostname}".endswith(f".{DELIVERY}")


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def problem(status: int, title: str, detail: str) -> JSONResponse:
    document: dict[str, Any] = {"title": title, "detail": detail, "status": status}
    return JSONResponse(document, status, media_type="application/problem+json")
