"""Errors as Replicate answers them: application/problem+json with title, detail and status."""

from typing import Any

from starlette.responses import JSONResponse

TITLES = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Payload too large",
    422: "Input validation failed",
    429: "Too many requests",
    503: "Service unavailable",
    507: "Insufficient storage",
}
DISK_FULL = "The disk of this API is full: nothing was kept of the request. Try again later."


class Problem(Exception):
    """An answer other than success: `status` is its HTTP status, `detail` a sentence for the caller.

    `retry_after` (s) says when it is worth trying again; `extra` is put beside the standard members.
    """

    def __init__(self, status: int, detail: str, retry_after: float | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.extra = extra

    def response(self) -> JSONResponse:
        body = {"title": TITLES.get(self.status, "Error"), "detail": self.detail, "status": self.status, **self.extra}
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after + 0.5)))}
        return JSONResponse(body, self.status, headers, media_type="application/problem+json")
