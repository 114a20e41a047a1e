"""`urls.stream`: what a model that yields gives, as server-sent events, as Replicate sends them."""

import asyncio
import hmac
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from easel.api.active import ActivePrediction
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.settings import stream_key
from easel.api.tables import FINAL, Prediction

MOST_READERS = 100  # of one account: a stream keeps its connection
STILL_HERE_S = 15.0  # between two comments, so that nothing on the way takes the connection for dead
LAST_EVENT_ID = re.compile(r"[0-9]{1,15}:([0-9]{1,9})")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*"}


async def stream(api: Api, request: Request) -> Response:
    identity = request.path_params["id"]
    wanted = stream_key(api.secret, identity)
    run = api.lifecycle.active.get(identity)
    prediction = run.prediction if run else await api.database.get(Prediction, identity)
    if not hmac.compare_digest(request.path_params["key"].encode(), wanted.encode()) or not prediction:
        raise Problem(404, "There is no such stream.")
    if api.readers[prediction.account] >= MOST_READERS:
        raise Problem(429, f"{MOST_READERS} streams of one account may be read at once.", retry_after=5)
    found = LAST_EVENT_ID.fullmatch(request.headers.get("last-event-id", ""))
    sent = int(found[1]) if found else 0
    return StreamingResponse(events(api, prediction, run, sent), media_type="text/event-stream", headers=HEADERS)


async def events(api: Api, prediction: Prediction, run: ActivePrediction | None, sent: int) -> AsyncIterator[str]:
    """Yield the output from the part number `sent` on, and new lines of the log, to the end. Nothing is kept for the
    reader: one who reads slowly gets what is there by then.
    """
    logged = len(prediction.logs) if sent else 0
    api.readers[prediction.account] += 1
    try:
        async for text in parts_of(api, prediction, run, sent, logged):
            yield text
    finally:
        api.readers[prediction.account] -= 1


async def parts_of(
    api: Api, prediction: Prediction, run: ActivePrediction | None, sent: int, logged: int
) -> AsyncIterator[str]:
    """Yield the events of `events`, from the log's character number `logged` on."""
    while True:
        changed = run.changed if run else None
        is_over = prediction.status in FINAL
        output = prediction.output if isinstance(prediction.output, list) else []
        if logs := prediction.logs[logged:]:
            logged += len(logs)
            yield event("logs", logs, sent)
        for part in api.serializers.with_addresses(prediction, output[sent:]):
            sent += 1
            yield event("output", part if isinstance(part, str) else json.dumps(part), sent)
        if is_over or changed is None:
            break
        try:
            await asyncio.wait_for(changed.wait(), STILL_HERE_S)
        except TimeoutError:
            yield ": still here\n\n"
    if prediction.status == "failed":
        yield event("error", json.dumps({"detail": prediction.error}), sent)
    yield event("done", json.dumps(REASONS.get(prediction.status, {})), sent)


REASONS: dict[str, dict[str, Any]] = {
    "failed": {"reason": "error"},
    "canceled": {"reason": "canceled"},
    "aborted": {"reason": "canceled"},
}


def event(kind: str, data: str, number: int) -> str:
    """Return one event (HTML, 9.2.6); its id says when it was and how many parts of the output there were by then."""
    lines = "".join(f"data: {line}\n" for line in re.split("\r\n|\r|\n", data))
    return f"event: {kind}\nid: {int(time.time() * 1000)}:{number}\n{lines}\n"
