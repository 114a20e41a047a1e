"""What is measured: a Cog server, or Replicate's API (that of `easel api` too), spoken to as callers do."""

import asyncio
import hashlib
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from urllib.parse import quote

import httpx2

from easel.platforms.http import RequestError, ask, members, reason, seconds_of
from easel.platforms.results import ErrorKind

BUSY_S = 0.01  # Cog was seen to hold its only slot for up to 11 ms after an answer
FIRST_POLL_S, LAST_POLL_S = 0.05, 0.5  # the latter is what Replicate's clients do
CANCEL_S = 5.0
POLL_FAILURES = 3  # in a row; Replicate's clients ask again as well
FINAL = ("succeeded", "failed", "canceled", "aborted")


@dataclass(frozen=True)
class Answer:
    """What became of a request. `started` and `completed` are times of the event loop's clock."""

    id: str
    status: str
    completed: float
    started: float | None = None
    queue_seconds: float | None = None
    run_seconds: float | None = None
    error: ErrorKind | None = None
    detail: str | None = None


@dataclass(frozen=True)
class About:
    """What a target says of itself. `run_seconds`: of its published example, for an estimate."""

    protocol: Literal["cog", "replicate"]
    model: str
    version: str
    schema: dict[str, Any] | None
    slots: int | None = None
    setup_seconds: float | None = None
    run_seconds: float | None = None


class Target(Protocol):
    about: About

    async def send(self, inputs: dict[str, Any]) -> Answer:
        """Run one prediction to its end. Raises RequestError. When it is canceled, so is the prediction."""


@dataclass
class CogTarget:
    """A Cog server. It has no queue and refuses a second request, so requests wait here, first come, first served.

    The synchronous call is the only one whose end a caller learns without a webhook. Closing its connection cancels it.
    """

    client: httpx2.AsyncClient
    url: str
    about: About
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, inputs: dict[str, Any]) -> Answer:
        clock = asyncio.get_running_loop().time
        arrived, identity = clock(), uuid.uuid4().hex
        async with self.turn:  # FIFO, as asyncio's locks are
            while True:
                began = clock()
                status, answer = await ask(self.client, "PUT", f"{self.url}/predictions/{identity}", {"input": inputs})
                if status != 409:
                    break
                await asyncio.sleep(BUSY_S)  # somebody else's request, or the last one's slot
            completed = clock()
        if status >= 400:
            raise RequestError("refused", reason(status, answer))
        return Answer(started=began, queue_seconds=began - arrived, **outcome(identity, answer, completed))


@dataclass
class ReplicateTarget:
    """Replicate's API at `base`, without /v1: created, then polled. The id is kept, so that it can be canceled."""

    client: httpx2.AsyncClient
    base: str
    create_path: str
    body: dict[str, Any]
    about: About

    async def send(self, inputs: dict[str, Any]) -> Answer:
        body = self.body | {"input": inputs}
        create = asyncio.ensure_future(ask(self.client, "POST", self.base + self.create_path, body))
        try:
            return await self._follow(*await asyncio.shield(create))
        except BaseException:  # a timeout or Ctrl-C: it would go on, and be billed, without anybody
            await self._cancel(create)
            raise

    async def _cancel(self, create: "asyncio.Future[tuple[int, dict[str, Any]]]") -> None:
        """End what was created, or is being created, as far as the API answers within CANCEL_S."""
        with suppress(RequestError, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                status, answer = await create
                if status < 400 and answer.get("status") not in FINAL:
                    await ask(self.client, "POST", f"{self._url(answer)}/cancel")

    def _url(self, answer: dict[str, Any]) -> str:
        identity = answer.get("id")
        if not isinstance(identity, str) or not 0 < len(identity) <= 100:
            raise RequestError("unreadable", "The answer to a create has no id.")
        return f"{self.base}/v1/predictions/{quote(identity, safe='')}"

    async def _follow(self, status: int, answer: dict[str, Any]) -> Answer:
        answered = asyncio.get_running_loop().time()
        if status >= 400:
            raise RequestError("refused", reason(status, answer))
        done, earliest, seen = await self._poll(self._url(answer), answer)
        created, started, completed = (time_of(done.get(f"{name}_at")) for name in ("created", "started", "completed"))
        ended = seen
        if created is not None and completed is not None:
            # A poll saw the end a little late: the target's own times say where between two polls it was. When it
            # answered, it had created the prediction.
            ended = min(seen, max(earliest, answered + completed - created))
        return Answer(
            started=ended - (completed - started) if started is not None and completed is not None else None,
            queue_seconds=max(0.0, started - created) if started is not None and created is not None else None,
            **outcome(str(answer["id"]), done, ended),
        )

    async def _poll(self, url: str, answer: dict[str, Any]) -> tuple[dict[str, Any], float, float]:
        """Return the final prediction, when it had not ended yet, and when its end was seen."""
        clock = asyncio.get_running_loop().time
        delay, failures, running_at = FIRST_POLL_S, 0, clock()
        while answer.get("status") not in FINAL:
            await asyncio.sleep(delay)
            delay = min(LAST_POLL_S, 1.5 * delay)
            asked = clock()
            try:
                status, answer = await ask(self.client, "GET", url)
            except RequestError as error:
                failures += 1
                if failures >= POLL_FAILURES or error.kind == "unreadable":
                    raise
                delay = max(delay, min(error.retry_after or 0, 60))
                continue
            failures = 0
            if status >= 400:
                raise RequestError("refused", reason(status, answer))
            if answer.get("status") not in FINAL:
                running_at = asked
        return answer, running_at, clock()


def outcome(identity: str, answer: dict[str, Any], completed: float) -> dict[str, Any]:
    """Return the members of an Answer that both protocols give in the same way."""
    status = str(answer.get("status"))[:40]
    run_seconds = seconds_of(members(answer.get("metrics")).get("predict_time"))
    error: ErrorKind | None = None
    if status in ("canceled", "aborted"):
        error = "canceled"
    elif status != "succeeded":
        error = "failed" if status == "failed" else "unreadable"
    detail = str(answer.get("error") or status)[:300] if error else None
    return {
        "id": identity,
        "status": status,
        "completed": completed,
        "run_seconds": run_seconds,
        "error": error,
        "detail": detail,
    }


def time_of(value: Any) -> float | None:
    """Return an ISO time as seconds since 1970, or None where it is none."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def digest(schema: dict[str, Any]) -> str:
    """Return a name for the version of a server that has none but its schema."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:16]
