"""What Cog servers tell: every end is read, and of what comes faster than ten times a second the newest."""

import asyncio
import json

import pytest

from easel.api import callbacks
from easel.api.active import ActivePrediction
from easel.api.callbacks import END
from easel.api.tables import Prediction
from easel.api.telemetry import now
from easel.api.updates import parse_update
from tests.api.inside import open_api


def body(**members) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled", "aborted"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,", " : ")])
def test_every_end_is_known_unread(status, separators):
    text = json.dumps({"output": ['"status":"processing"'], "status": status}, separators=separators)
    assert END.search(text.encode())


@pytest.mark.parametrize("output", ["status succeeded", '"status":"succeeded"', '\\"status\\": \\"failed\\"'])
def test_a_text_that_looks_like_an_end_is_none(output):
    assert not END.search(body(status="processing", output=[output], logs=output))


async def tell(api, client, run, **members) -> None:
    path = f"/cog/{run.id}/{api.lifecycle.signature(run.id)}"
    answer = await client.post(path, content=body(id=run.id, **members))
    assert answer.status_code == 204


@pytest.fixture
def reads(monkeypatch) -> list[bytes]:
    """What is really read."""
    found = []

    def count(data: bytes, identity: str):
        found.append(data)
        return parse_update(data, identity)

    monkeypatch.setattr(callbacks, "parse_update", count)
    return found


def test_of_many_the_newest_is_read_and_the_end_at_once(tmp_path, reads):
    async def go() -> None:
        async with open_api(tmp_path) as (api, client):
            one = Prediction(
                id="a" * 26,
                account="a",
                model="m/n",
                version="0" * 64,
                created_at=now(),
                input={},
                webhook_events_filter=[],
            )
            one.status, one.logs, one.metrics, one.webhook = "processing", "", {}, None
            run = ActivePrediction(one)
            api.lifecycle.active[run.id] = run
            for count in range(1, 301):
                await tell(api, client, run, status="processing", output=["x"] * count, logs="x" * count)
            while len(one.output) < 300:  # the last of them, once its time has come
                await asyncio.sleep(0.01)
            assert len(reads) < 150
            before = len(reads)
            await tell(api, client, run, status="processing", output=["x"] * 301, logs="")
            await tell(api, client, run, status="succeeded", output=["y"] * 302, logs="")
            assert (one.status, one.output) == ("succeeded", ["y"] * 302)
            assert len(reads) <= before + 2
            await asyncio.sleep(2 * callbacks.PAUSE_S)
            assert one.output == ["y"] * 302, "what waited is not read after the end"

    asyncio.run(go())
