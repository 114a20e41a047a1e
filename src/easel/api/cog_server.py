"""One Cog server: what it does now, and the four things that are asked of it."""

import asyncio
import time
from typing import Any

import httpx2

from easel.api.cog_answers import ask, members
from easel.api.schemas import is_schema
from easel.api.updates import PREVIEWS

HEALTHY = ("READY", "BUSY")
DOWN = "DOWN"
POLL_S = 1.0
POLL_STARTING_S = 0.25  # so that a start is seen soon
SILENT_S = 30.0  # without any answer
BUSY_S = 0.1  # Right after an end a server may still hold its slot
BUSIEST_S = 1.0  # and if it works for somebody else, it is asked again so often.
UNWELL_TIMES = 3  # in a row: Cog says UNHEALTHY also once when the runner's own check was late
ANSWER_S = 10.0  # A busy server may be late; one that is dead refuses at once.


class CogServer:
    """A server at `url`. `state` is Cog's own (STARTING, READY, BUSY, ...) or DOWN."""

    def __init__(self, url: str, client: httpx2.AsyncClient, resource: str = "predictions") -> None:
        """`resource`: what it is given, or "trainings" of one that trains; each has a schema of its own there."""
        self.url = url
        self._resource = resource
        self.state = DOWN
        self.started = ""  # when its setup began: another time means another process
        self.versions: set[str] = set()
        self.models: set[str] = set()  # whose newest version it runs, whatever that turns out to be
        self.known_process = ""  # the process whose versions are known: no other gets work
        self.is_polled = False  # by Servers, which asks how it is
        self.delay = BUSY_S
        self._unwell = 0  # so often in a row it has said UNHEALTHY
        self.stuck = ""  # the prediction that it was to end and has not: until it is free it gets no work
        self._client = client
        self._last_response = time.monotonic()

    @property
    def healthy(self) -> bool:
        return self.state in HEALTHY

    @property
    def ready(self) -> bool:
        """It may be given work."""
        return self.healthy and self.started == self.known_process and not self.is_stuck

    @property
    def is_stuck(self) -> bool:
        """It works on what was ended without it, or says itself that it hangs (the runner's own health check)."""
        return bool(self.stuck) or self.state == "UNHEALTHY"

    async def check(self) -> None:
        """Ask how it is."""
        try:
            _, answer = await ask(self._client, "GET", f"{self.url}/health-check", ANSWER_S)
        except httpx2.TimeoutException:
            if time.monotonic() - self._last_response > SILENT_S:  # until then it is late, not dead
                self.state = DOWN
            return
        except httpx2.HTTPError:
            self.state = DOWN
            return
        health = members(answer)
        self._last_response = time.monotonic()
        state = str(health.get("status", DOWN))[:40]
        self._unwell = self._unwell + 1 if state == "UNHEALTHY" else 0
        if 0 < self._unwell < UNWELL_TIMES and self.healthy:
            return
        self.state = state
        if self.healthy:
            before, self.started = self.started, str(members(health.get("setup")).get("started_at", ""))[:100]
            if self.state == "READY" or self.started != before:  # free, or another process
                self.stuck = ""

    async def schema(self) -> dict[str, Any] | None:
        """Its OpenAPI document, or None while it has none that says what its inputs are."""
        try:
            status, document = await ask(self._client, "GET", f"{self.url}/openapi.json", ANSWER_S)
        except httpx2.HTTPError:
            return None
        return document if status == 200 and await asyncio.to_thread(is_schema, document) else None

    async def start(
        self, prediction_id: str, given: dict[str, Any], callback: str, previews: int = 0
    ) -> tuple[int, Any]:
        """Hand a prediction over: 202 accepted, 409 no free slot, 422 with `detail`, or what else it answers.

        `previews` of each image are asked for in Cog's `context`, of which a model that has none knows nothing. Raises
        httpx2.ConnectError or ConnectTimeout if it was never reached, another HTTPError if that is not known.
        """
        body: dict[str, Any] = {
            "input": given,
            "webhook": callback,
            "webhook_events_filter": ["start", "output", "logs", "completed"],
        }
        if previews:
            body["context"] = {PREVIEWS: str(previews)}
        return await self._put(prediction_id, body)

    async def has(self, prediction_id: str) -> bool | None:
        """Return whether it works on this prediction now. None: no answer.

        Cog looks for a running prediction of this id before it looks at the input, and answers with it (202).
        An input that is no object therefore never starts anything.
        """
        try:
            status, _ = await self._put(prediction_id, {"input": "none"})
        except httpx2.HTTPError:
            return None
        return status == 202

    async def cancel(self, prediction_id: str) -> bool:
        """Return whether it has taken the cancel."""
        url = f"{self.url}/{self._resource}/{prediction_id}/cancel"
        try:
            status, _ = await ask(self._client, "POST", url, ANSWER_S)
        except httpx2.HTTPError:
            return False
        return status == 200

    async def _put(self, prediction_id: str, body: Any) -> tuple[int, Any]:
        url = f"{self.url}/{self._resource}/{prediction_id}"
        status, answer = await ask(self._client, "PUT", url, ANSWER_S, body, Prefer="respond-async")
        if status == 202 and members(answer).get("id", prediction_id) != prediction_id:
            return 502, {"error": "The server answered for another prediction than it was asked for."}
        return status, answer

    async def wait_ready(self) -> None:
        while not self.ready:
            await asyncio.sleep(0.05)

    async def pause(self) -> None:
        await asyncio.sleep(POLL_S if self.healthy else POLL_STARTING_S)
