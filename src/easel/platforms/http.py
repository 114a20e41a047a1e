"""One HTTP request to a target that is not trusted: limits in bytes, no redirect, each failure with its kind."""

import json
import math
import ssl
from typing import Any, NoReturn

import httpx2

from easel.net.urls import is_loopback, shown_error
from easel.platforms.results import ErrorKind

MAX_BYTES = 128_000_000  # four images of 2048 x 2048 as PNG, in base64
MAX_DETAIL = 300  # characters of what a target says


class RequestError(Exception):
    """A request that the target did not take, or an answer that cannot be read."""

    def __init__(self, kind: ErrorKind, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.retry_after = kind, detail[:MAX_DETAIL], retry_after


def open_client(url: str, headers: dict[str, str]) -> httpx2.AsyncClient:
    """Return a client without limits of time or connections: the driver has the first, and never delays a send.

    A proxy from the environment cannot reach this machine's loopback; SSL_CERT_FILE still counts there.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    if is_loopback(url):
        context = ssl.create_default_context()
        return httpx2.AsyncClient(timeout=None, limits=limits, headers=headers, trust_env=False, verify=context)
    return httpx2.AsyncClient(timeout=None, limits=limits, headers=headers)


async def ask(client: httpx2.AsyncClient, method: str, url: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of an answer below 500 other than 429. Raises RequestError for all else."""
    data = bytearray()
    try:
        # identity: a few compressed bytes could be gigabytes
        async with client.stream(method, url, json=body, headers={"Accept-Encoding": "identity"}) as answer:
            async for part in answer.aiter_raw():
                data += part
                if len(data) > MAX_BYTES:
                    raise RequestError("unreadable", f"The answer has over {MAX_BYTES:,} bytes.")
            status, wait = answer.status_code, answer.headers.get("retry-after", "")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise RequestError("connection", shown_error(error)) from None
    if status == 429:
        raise RequestError("rate_limited", text_of(data), float(wait) if wait.isdigit() else None)
    if status >= 500:
        raise RequestError("server_error", f"{status}: {text_of(data)}")
    if 300 <= status < 400:
        raise RequestError("refused", f"{status}: a redirect, which is not followed.")
    try:
        values = json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict):
        return status, values
    if status >= 400:
        return status, {"detail": text_of(data)}
    raise RequestError("unreadable", f"{status}, and no JSON object: {text_of(data)}")


def refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def text_of(data: bytearray) -> str:
    return " ".join(bytes(data[: 4 * MAX_DETAIL]).decode(errors="replace").split())[:MAX_DETAIL]


def reason(status: int, answer: dict[str, Any]) -> str:
    """Return why an answer of 400 to 499 refuses a request, in the target's own words."""
    return f"{status}: {answer.get('detail') or answer.get('error') or answer.get('title') or answer}"[:MAX_DETAIL]


def seconds_of(value: Any) -> float | None:
    """Return a duration that a target gives, or None if it is no finite number from 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1e9 and math.isfinite(value) else None


def members(value: Any) -> dict[str, Any]:
    """Return it if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}
