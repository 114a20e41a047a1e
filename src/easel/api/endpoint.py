"""What stands around every handler: who asks, how often, how much; and each error as a problem."""

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from easel.api.limits import Limiter
from easel.api.problems import Problem
from easel.api.settings import MB
from easel.api.store import StoreError
from easel.api.watch import without_values

if TYPE_CHECKING:
    from easel.api.app import Api

Handler = Callable[["Api", Request], Awaitable[Response]]


class Endpoint:
    """An ASGI application around a handler."""

    def __init__(self, api: "Api", handler: Handler, route: str, limiter: Limiter | None, body_limit: int) -> None:
        """Without a `limiter` no token is asked for either."""
        self.api, self.handler, self.route = api, handler, route
        self.limiter, self.body_limit = limiter, body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        request = Request(scope, limited(receive, self.body_limit))
        headers: dict[str, str] = {}
        try:
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                raise Problem(400, "An address has no NUL.")
            if self.limiter:
                request.state.account = find_account(request, self.api.settings.tokens)
                headers = self.limiter.take(request.state.account)
            response = await self.handler(self.api, request)
        except Problem as problem:
            response = problem.response()
        except StoreError as error:
            sentence = f"The database did not take it ({error}). Nothing was accepted; try again."
            response = Problem(503, sentence, retry_after=1).response()
        except ClientDisconnect:
            return
        except HTTPException as error:
            response = Problem(error.status_code, str(error.detail)).response()
        except Exception as error:
            self.api.log.error("request", route=self.route, **without_values(error))
            response = Problem(500, "The API failed here; its log says why.").response()
        response.headers.update(headers)
        self.api.metrics.requests.labels(request.method, self.route, response.status_code).inc()
        self.api.metrics.request_s.labels(self.route).observe(time.monotonic() - started)
        await response(scope, receive, send)


def limited(receive: Receive, limit: int) -> Receive:
    count = 0

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > limit:
            raise Problem(413, f"The request is larger than {limit / MB:.0f} MB. Upload files to /v1/files.")
        return message

    return counted


def find_account(request: Request, tokens: dict[str, str]) -> str:
    """The account of the bearer token, compared in constant time with every one. Raises Problem (401)."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    found = ""
    for token, account in tokens.items():
        if hmac.compare_digest(given.strip().encode(), token.encode()):
            found = account
    if not found or kind.lower() not in ("bearer", "token"):
        raise Problem(401, "You did not pass a valid authentication token: send Authorization: Bearer <token>.")
    return found
