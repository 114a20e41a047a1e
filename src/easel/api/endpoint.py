"""What stands around every handler: who asks, how often, how much; and each error as a problem."""

import asyncio
import errno
import hmac
import re
import time
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from easel.api.database_errors import DatabaseError, DiskFullError, RowRefusedError
from easel.api.openai_errors import problem_response
from easel.api.problems import DISK_FULL, Problem
from easel.api.rate_limit import RateLimiter
from easel.api.service import Api
from easel.api.settings import MB
from easel.api.telemetry import describe_error

HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,50}\]|[A-Za-z0-9._-]{0,300})(:[0-9]{1,5})?")
BODY_S, SLOWEST = 30.0, 50_000  # a body has so many seconds, and one more for each so many bytes that came
Handler = Callable[[Api, Request], Awaitable[Response]]


class Endpoint:
    """An ASGI application around a handler."""

    def __init__(self, api: Api, handler: Handler, route: str, limiter: RateLimiter | None, body_limit: int) -> None:
        """Without a `limiter` no token is asked for either."""
        self.api, self.handler, self.route = api, handler, route
        self.limiter, self.body_limit = limiter, body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        request = Request(scope, limited(receive, self.body_limit))
        request.state.api = self.api
        headers: dict[str, str] = {}
        try:
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                raise Problem(400, "The URL must not contain NUL.")
            if not HOST.fullmatch(request.headers.get("host", "")):
                raise Problem(400, "The header Host is not the name of a host.")
            if self.limiter:
                request.state.account = find_account(request, self.api.settings.tokens)
                headers = self.limiter.take(request.state.account)
            response = await self.handler(self.api, request)
        except Problem as problem:
            response = problem_response(request, problem)
        except RowRefusedError:
            odd = Problem(422, "The database cannot hold this: there is something odd in it.")
            response = problem_response(request, odd)
        except DiskFullError:
            response = problem_response(request, Problem(507, DISK_FULL))
        except DatabaseError as error:
            sentence = f"The database did not take it ({error}). Nothing was accepted; try again."
            response = problem_response(request, Problem(503, sentence, retry_after=1))
        except ClientDisconnect:
            return
        except HTTPException as error:
            response = problem_response(request, Problem(error.status_code, str(error.detail)))
        except Exception as error:
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            if not full:
                self.api.log.error("request", route=self.route, **describe_error(error))
            failure = Problem(507, DISK_FULL) if full else Problem(500, "The API failed here; its log says why.")
            response = problem_response(request, failure)
        response.headers.update(headers)
        self.api.metrics.requests.labels(request.method, self.route, response.status_code).inc()
        self.api.metrics.request_s.labels(self.route).observe(time.monotonic() - started)
        await response(scope, receive, send)


def limited(receive: Receive, limit: int, clock: Callable[[], float] = time.monotonic) -> Receive:
    """Return a `receive` that raises Problem: 413 for a body over `limit` bytes, 408 for one that only trickles in.

    What comes after the body, that the client has gone, may take as long as it does.
    """
    count, began, is_whole = 0, clock(), False

    async def counted() -> Message:
        nonlocal count, is_whole
        if is_whole:
            return await receive()
        left = began + BODY_S + count / SLOWEST - clock()
        try:
            async with asyncio.timeout(left):
                message = await receive()
        except TimeoutError:
            left = 0.0
        if left <= 0:
            raise Problem(408, f"The request's body came slower than {SLOWEST // 1000} kB a second.")
        count += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if count > limit:
            raise Problem(413, f"The request is larger than {limit / MB:.0f} MB. Upload files to /v1/files.")
        return message

    return counted


def find_account(request: Request, tokens: dict[str, str]) -> str:
    """Return the account of the bearer token, compared in constant time with every one. Raises Problem (401)."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    found = ""
    for token, account in tokens.items():
        if hmac.compare_digest(given.strip().encode(), token.encode()):
            found = account
    if not found or kind.lower() not in ("bearer", "token"):
        raise Problem(401, "You did not pass a valid authentication token: send Authorization: Bearer <token>.")
    return found
