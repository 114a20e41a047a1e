"""From the page to the API, with the token added here; and back."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.net.authorities import trusted_authorities
from easel.net.urls import is_loopback, origin, shown_error, shown_url, split_url
from easel.page.guard import NAME

NAMES = re.compile(NAME)
CURSOR = re.compile(r"[\w+/=.-]{1,500}")
PASSED_BACK = ("content-type", "retry-after", "ratelimit-remaining", "ratelimit-reset")
MAX_BODY_BYTES = 128 * 2**20  # more than the API takes (100 MiB), which then says so itself
MAX_OUTPUT_BYTES = 256 * 2**20
ANSWER_S = 30.0
DELIVERY = "replicate.delivery"  # where Replicate keeps outputs, under names of its own
SHOWN = re.compile(r"(image|video|audio)/[\w.+-]+")


@dataclass(frozen=True)
class Passed:
    """A request that is passed on; each {} is one name. A list may be asked for by its cursor."""

    method: str
    path: str
    is_list: bool = False


MODEL = "/v1/models/{owner}/{name}"
PASSED = (
    Passed("GET", "/v1/models", is_list=True),
    Passed("GET", MODEL),
    Passed("GET", f"{MODEL}/examples", is_list=True),
    Passed("GET", f"{MODEL}/versions", is_list=True),
    Passed("GET", f"{MODEL}/versions/{{id}}"),
    Passed("POST", f"{MODEL}/predictions"),
    Passed("GET", "/v1/predictions", is_list=True),
    Passed("POST", "/v1/predictions"),
    Passed("GET", "/v1/predictions/{id}"),
    Passed("POST", "/v1/predictions/{id}/cancel"),
    Passed("POST", "/v1/files"),
    Passed("GET", "/v1/account"),
    Passed("POST", "/v1/models"),
    Passed("POST", f"{MODEL}/versions/{{id}}/trainings"),
    Passed("GET", "/v1/trainings", is_list=True),
    Passed("GET", "/v1/trainings/{id}"),
    Passed("POST", "/v1/trainings/{id}/cancel"),
)


class Proxy:
    """`api` is an address without /v1. To be entered before use."""

    def __init__(self, api: str, token: str) -> None:
        self._api = api
        self._token = token

    async def __aenter__(self) -> Self:
        # A proxy from the environment cannot reach this machine's loopback.
        # One with a certificate of its own (`easel api --tls`) is known by the same variable as to every client.
        self._client = httpx2.AsyncClient(
            timeout=ANSWER_S, trust_env=not is_loopback(self._api), verify=trusted_authorities()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def passing(self, passed: Passed) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers such requests."""

        async def forward(request: Request) -> Response:
            query = request.query_params.multi_items()
            cursors = [value for name, value in query if name == "cursor" and CURSOR.fullmatch(value)]
            if len(query) > (1 if passed.is_list else 0) or len(query) != len(cursors):
                return problem(404, "Not found", "There is no such address.")
            return await self._ask(request, request.scope["path"], dict(query))

        return forward

    async def ask_readme(self, request: Request) -> Response:
        """Return the API's answer for the README of the model that the address names."""
        return await self._ask(request, f"{MODEL}/readme".format_map(request.path_params), {})

    async def _ask(self, request: Request, path: str, query: dict[str, str]) -> Response:
        """Pass a call on to the API and return its answer. No header goes with it but the body's type."""
        if not are_names(request):
            return problem(404, "Not found", "There is no such address.")
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "easel-page"}
        body = None
        if request.method == "POST":
            size = request.headers.get("content-length", "")
            if not size.isdigit() or int(size) > MAX_BODY_BYTES:
                return problem(413, "Payload too large", f"At most {MAX_BODY_BYTES // 2**20} MiB can be sent.")
            headers |= {"Content-Type": request.headers.get("content-type", ""), "Content-Length": size}
            body = request.stream()
        try:
            answer = await self._client.request(
                request.method, self._api + path, params=query or None, content=body, headers=headers
            )
        except httpx2.HTTPError as error:
            detail = f"{shown_url(self._api)} does not answer ({shown_error(error)}). Is it running?"
            return problem(502, "No answer from the API", detail)
        kept = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        return Response(answer.content, answer.status_code, kept)

    async def fetch_output(self, request: Request) -> Response:
        """Return a file that a prediction made, so that the page can save it: browsers save only what is of one
        origin.
        """
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
        parts, own = split_url(url), split_url(self._api)
        if parts is None or own is None or not parts.hostname or parts.username or parts.password:
            return False
        if origin(parts) == origin(own):
            return True
        return parts.scheme == "https" and parts.port is None and f".{parts.hostname}".endswith(f".{DELIVERY}")


def are_names(request: Request) -> bool:
    return all(NAMES.fullmatch(part) for part in request.path_params.values())


def problem(status: int, title: str, detail: str) -> JSONResponse:
    document: dict[str, Any] = {"title": title, "detail": detail, "status": status}
    return JSONResponse(document, status, media_type="application/problem+json")
