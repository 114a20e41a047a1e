"""Where Cog servers tell of predictions: each end is read at once, and of all else the newest ten times a second.

Cog tells all of an output and all of a log again with each part, however many parts there are.
"""

import asyncio
import re
import time

from starlette.requests import Request
from starlette.responses import Response

from easel.api.active import ActivePrediction
from easel.api.bodies import receive
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.updates import Update, parse_update

PAUSE_S = 0.1
MOST_HELD = 1_000_000  # bytes of what waits for its turn; what is larger is read as it comes
# Within a text a quote has a backslash before it, so of what does not end nothing is taken for an end but an object.
END = re.compile(rb'"status"\s*:\s*"(?:succeeded|failed|canceled|aborted)"')


async def receive_callback(api: Api, request: Request) -> Response:
    identity = request.path_params["id"]
    if api.lifecycle.verify_callback(identity, request.path_params["signature"]):  # before anything is read
        run = api.lifecycle.active[identity]

        def read(data: bytes) -> Update | bytes:
            is_early = time.monotonic() - run.heard < PAUSE_S
            return (
                data if is_early and len(data) <= MOST_HELD and not END.search(data) else parse_update(data, identity)
            )

        try:
            update = await receive(request, read)
        except (ValueError, Problem) as error:
            await api.lifecycle.unreadable(identity, str(error))
        else:
            if isinstance(update, bytes):
                run.held = update
                run.set_timer("held", PAUSE_S, lambda run: api.lifecycle.do(apply_held(api, run)))
            else:
                run.heard, run.held = time.monotonic(), None
                await api.lifecycle.apply_update(identity, update)
    return Response(status_code=204)


async def apply_held(api: Api, run: ActivePrediction) -> None:
    run.timers.pop("held", None)
    data, run.held = run.held, None
    if data is None or run.ending:
        return  # something newer was read meanwhile
    run.heard = time.monotonic()
    try:
        update = await asyncio.to_thread(parse_update, data, run.id)
    except ValueError as error:
        await api.lifecycle.unreadable(run.id, str(error))
    else:
        await api.lifecycle.apply_update(run.id, update)
