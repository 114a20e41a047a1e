"""Cancels and deadlines are kept, whatever the Cog server does with them."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from easel.api.service import Api
from tests.api.calls import END, MODEL
from tests.api.inside import open_api
from tests.api.odd_cog import OddCog, run_odd_cog

FOR_EVER = 3600.0
BUSY = b'{"status": "BUSY", "setup": {"started_at": "now"}}'
READY = b'{"status": "READY", "setup": {"started_at": "now"}}'


@dataclass
class Pair:
    """An API in this process, and the Cog server behind it."""

    api: Api
    client: httpx2.AsyncClient
    odd: OddCog

    async def create(self, **headers: str) -> str:
        answer = await self.client.post(MODEL, json={"input": {}}, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def show(self, identity: str) -> dict[str, Any]:
        return (await self.client.get(f"/v1/predictions/{identity}")).json()

    async def cancel(self, identity: str) -> dict[str, Any]:
        return (await self.client.post(f"/v1/predictions/{identity}/cancel")).json()

    async def end(self, identity: str, status: str) -> None:
        """The Cog server tells of the end, and has it no more."""
        self.odd.given.discard(identity)
        news = {"id": identity, "status": status, "logs": "", "metrics": {}}
        answer = await self.client.post(self.odd.callbacks[identity], json=news)
        assert answer.status_code == 204, answer.text

    async def state(self) -> str:
        return (await self.client.get("/health")).json()["servers"][self.odd.url]

    async def end_of(self, identity: str) -> dict[str, Any]:
        async def ended() -> bool:
            return (await self.show(identity))["status"] in END

        await until(ended)
        return await self.show(identity)


async def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not (await found if asyncio.iscoroutine(found := condition()) else found):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@asynccontextmanager
async def open_pair(folder: Path, **settings: Any) -> AsyncIterator[Pair]:
    with run_odd_cog() as odd:
        servers = (("test/model", odd.url),)
        async with open_api(folder, servers=servers, **settings) as (api, client):
            client.headers["Authorization"] = "Bearer token-of-a"
            await until(lambda: api.servers._servers[odd.url].ready)
            yield Pair(api, client, odd)


def test_a_cancel_that_is_lost_on_its_way_is_sent_again_until_it_is_answered_and_then_never(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path, cancel_grace_s=FOR_EVER) as pair:
            pair.odd.lost_cancels = 2
            identity = await pair.create()
            await until(lambda: identity in pair.odd.given and pair.api.lifecycle.active[identity].accepted)
            await pair.cancel(identity)
            await until(lambda: len(pair.odd.cancels) == 3)
            await asyncio.sleep(1.5)  # more than one further turn of the watch
            assert pair.odd.cancels == [identity] * 3
            await pair.end(identity, "canceled")
            assert (await pair.end_of(identity))["status"] == "canceled"

    asyncio.run(go())


def test_a_cancel_that_was_wanted_before_a_restart_is_sent_after_it(tmp_path):
    async def go(odd: OddCog) -> None:
        servers = (("test/model", odd.url),)
        settings = {"servers": servers, "cancel_grace_s": FOR_EVER}
        odd.lost_cancels = 10**6
        async with open_api(tmp_path, **settings) as (api, client):
            pair = Pair(api, client, odd)
            await until(lambda: api.servers._servers[odd.url].ready)
            identity = await pair.create()
            await until(lambda: identity in odd.given and api.lifecycle.active[identity].accepted)
            await pair.cancel(identity)
            await until(lambda: odd.cancels)
        odd.cancels.clear()
        odd.lost_cancels = 0
        async with open_api(tmp_path, **settings) as (api, client):
            await until(lambda: odd.cancels == [identity])

    with run_odd_cog() as odd:
        asyncio.run(go(odd))


def test_a_server_that_does_not_obey_is_stuck_until_it_is_free_and_the_prediction_ends(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path, cancel_grace_s=0.3) as pair:
            identity = await pair.create()
            await until(lambda: identity in pair.odd.given and pair.api.lifecycle.active[identity].accepted)
            pair.odd.health = BUSY
            await pair.cancel(identity)
            assert (await pair.end_of(identity))["status"] == "canceled"
            await until(lambda: state_is(pair, "STUCK"))
            await until(lambda: tells(pair, f'easel_server_stuck{{server="{pair.odd.url}"}} 1.0'))
            await asyncio.sleep(1.5)  # more than one further look
            assert await tells(pair, f'easel_cold_starts_total{{server="{pair.odd.url}"}} 1.0')
            following = await pair.create()
            await asyncio.sleep(0.5)
            assert pair.odd.begun == [identity]
            pair.odd.given.clear()
            pair.odd.health = READY
            await until(lambda: following in pair.odd.given)
            assert await pair.state() == "READY"

    asyncio.run(go())


async def tells(pair: Pair, line: str) -> bool:
    return line in (await pair.client.get("/metrics")).text


async def state_is(pair: Pair, state: str) -> bool:
    return await pair.state() == state


def test_a_server_that_says_itself_that_it_hangs_gets_no_work_until_it_is_well(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path) as pair:
            pair.odd.health = b'{"status": "UNHEALTHY", "setup": {"started_at": "now"}}'
            await until(lambda: state_is(pair, "STUCK"))
            identity = await pair.create()
            await asyncio.sleep(0.5)
            assert pair.odd.begun == []
            pair.odd.health = READY
            await until(lambda: identity in pair.odd.given)

    asyncio.run(go())


def test_a_server_that_says_once_that_it_is_unwell_keeps_its_prediction(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path) as pair:
            identity = await pair.create()
            await until(lambda: identity in pair.odd.given)
            server = pair.api.servers._servers[pair.odd.url]
            for _ in range(3):
                pair.odd.health = b'{"status": "UNHEALTHY", "setup": {"started_at": "now"}}'
                await server.check()
                assert server.healthy
                pair.odd.health = BUSY
                await server.check()
            assert (await pair.show(identity))["status"] == "processing"
            assert await pair.state() == "BUSY"

    asyncio.run(go())


def test_a_cancel_while_it_is_handed_over_ends_it_at_once_and_the_server_is_told(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path, cancel_grace_s=FOR_EVER) as pair:
            pair.odd.holds = threading.Event()
            identity = await pair.create()
            await until(lambda: identity in pair.odd.begun)
            answer = await pair.cancel(identity)
            assert (answer["status"], answer.get("started_at"), answer["output"]) == ("canceled", None, None)
            assert pair.odd.cancels == []
            pair.odd.holds.set()
            await until(lambda: pair.odd.cancels == [identity])
            assert (await pair.show(identity))["status"] == "canceled"

    asyncio.run(go())


def test_what_runs_longer_than_the_limit_is_canceled_and_fails_in_words(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path, max_seconds=0.2, cancel_grace_s=FOR_EVER) as pair:
            identity = await pair.create()
            await until(lambda: pair.odd.cancels == [identity])
            await pair.end(identity, "canceled")
            ended = await pair.end_of(identity)
            assert (ended["status"], "--max-seconds" in ended["error"]) == ("failed", True)

    asyncio.run(go())


def test_a_limit_is_kept_by_a_server_that_does_not_obey_too(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path, max_seconds=0.2, cancel_grace_s=0.2) as pair:
            ended = await pair.end_of(await pair.create())
            assert (ended["status"], "--max-seconds" in ended["error"]) == ("failed", True)

    asyncio.run(go())


def test_the_default_limit_is_replicates():
    from easel.api.settings import Settings

    assert Settings.max_seconds == 1800
    assert Settings.cancel_grace_s == pytest.approx(30)
