"""Where Cog servers tell of predictions: each end is read at once, and of all else the newest ten times a second.

Cog tells all of an output and all of a log again with each part, however many parts there are.
"""

import asyncio
import re
import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from easel.api.bodies import receive
from easel.api.news import News, read_news
from easel.api.problems import Problem
from easel.api.run import Run

if TYPE_CHECKING:
    from easel.api.app import Api

PAUSE_S = 0.1
MOST_HELD = 1_000_000  # bytes of what waits for its turn; what is larger is read as it comes
# Within a text a quote has a backslash before it, so of what does not end nothing is taken for an end but an object.
END = re.compile(rb'"status"\s*:\s*"(?:succeeded|failed|canceled|aborted)"')


async def take_news(api: "Api", request: Request) -> Response:
    identity = request.path_params["id"]
    if api.runs.expects(identity, request.path_params["proof"]):  # before anything is read
        run = api.runs.active[identity]

        def read(data: bytes) -> News | bytes:
            is_early = time.monotonic() - run.heard < PAUSE_S
            return data if is_early and len(data) <= MOST_HELD and not END.search(data) else read_news(data, identity)

        try:
            news = await receive(request, read)
        except (ValueError, Problem) as error:
            await api.runs.unreadable(identity, str(error))
        else:
            if isinstance(news, bytes):
                run.held = news
                run.set_timer("held", PAUSE_S, lambda run: api.runs.do(read_held(api, run)))
            else:
                run.heard, run.held = time.monotonic(), None
                await api.runs.news(identity, news)
    return Response(status_code=204)


async def read_held(api: "Api", run: Run) -> None:
    run.timers.pop("held", None)
    data, run.held = run.held, None
    if data is None or run.ending:
        return  # something newer was read meanwhile
    run.heard = time.monotonic()
    try:
        news = await asyncio.to_thread(read_news, data, run.id)
    except ValueError as error:
        await api.runs.unreadable(run.id, str(error))
    else:
        await api.runs.news(run.id, news)
