"""A Cog server that lies, babbles or never ends: every prediction ends all the same, in words."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from easel.api.active import ActivePrediction
from easel.api.tables import Prediction
from tests.api.calls import create, show, wait_for
from tests.api.inside import open_api
from tests.api.odd_cog import HEALTH, OddCog, run_odd_cog
from tests.support.api_process import Api, ask, run_api, wait_for_version
from tests.support.fault_server import wait_until


@pytest.fixture
def odd() -> Iterator[OddCog]:
    with run_odd_cog() as odd:
        yield odd


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, OddCog]]:
    """An API for all that is odd in what its server tells of predictions: one must not harm the next."""
    with (
        run_odd_cog() as odd,
        run_api(tmp_path_factory.mktemp("talker"), [f"test/model={odd.url}"], rate_limit=0) as api,
    ):
        wait_for_version(api, "test/model")
        yield api, odd


def told(**news: object) -> bytes:
    return json.dumps({"status": "succeeded", "output": "fine"} | news).encode()


@pytest.mark.parametrize(
    ("news", "status", "words"),
    [
        (told(metrics=[1, 2]), "succeeded", None),
        (told(metrics={"a": {"b": 1}, "predict_time": 2}, logs=5), "succeeded", None),
        (told(output="\ud800 and \0"), "succeeded", None),
        (told(metrics={"a": 1}).replace(b"1", b"NaN"), "failed", "no finite number"),
        (told(output="x" * 5_000_000), "failed", "more than 4 MB"),
        (told(output=[1] * 200_000), "failed", "more than 100000 values"),
        (b'{"status": "succeeded", "output": ' + b"[" * 900 + b"]" * 900 + b"}", "failed", "64 deep"),
        (told(id="another"), "failed", "of another prediction"),
        (b"[]", "failed", "no object"),
        (b"never json", "failed", "cannot be kept"),
        (told(error=["an", "error"], status="failed"), "failed", None),
    ],
    ids=["list", "metrics", "surrogate", "nan", "text", "wide", "deep", "id", "no object", "no json", "error"],
)
def test_whatever_a_server_tells_a_prediction_ends_and_is_shown(talker, news, status, words):
    api, odd = talker
    odd.news = [b'{"status": "processing", "logs": 7, "metrics": null}', news]
    done = wait_for(api, create(api, text="a")["id"])
    assert done["status"] == status
    assert (words or "") in (done["error"] or "")
    assert isinstance(done["metrics"]["total_time"], float)
    assert ask(api, "GET", "/v1/predictions")[1]["results"][0]["id"] == done["id"]
    odd.news = [told()]
    assert wait_for(api, create(api, text="b")["id"])["output"] == "fine"


def test_an_endless_log_is_cut(talker):
    api, odd = talker
    odd.news = [told(logs="x" * 3_000_000)]
    done = wait_for(api, create(api, text="a")["id"])
    assert (done["status"], len(done["logs"]) < 1_100_000) == ("succeeded", True)


def test_an_answer_for_another_prediction_ends_this_one_in_words(new_api, odd):
    odd.accepts = b'{"id": "another"}'
    api = new_api(odd.url)
    assert "for another prediction" in wait_for(api, create(api, text="a")["id"])["error"]


def test_a_server_of_odd_health_or_schema_is_none_and_comes_back_when_it_is_well(new_api, odd):
    odd.news = [told()]
    api = new_api(odd.url)
    wait_for(api, create(api, text="a")["id"])
    for odd.health in (b"[1]", b"null", b'"READY"', b'{"status": ["READY"], "setup": []}', b"[" * 100_000, b"\xff"):
        asked = len(odd.asked)
        wait_until(lambda asked=asked: len(odd.asked) >= asked + 3, 20)
        assert ask(api, "GET", "/health")[1]["servers"][odd.url] not in ("READY", "BUSY")
    odd.endless = True
    asked = len(odd.asked)
    wait_until(lambda: len(odd.asked) >= asked + 3, 20)  # it asks again: the answer without end has an end
    odd.schema, odd.endless, odd.health = b"[]", False, json.dumps(HEALTH | {"setup": {"started_at": "later"}}).encode()
    waiting = create(api, text="b")["id"]
    wait_until(lambda: odd.asked[-1] == "/openapi.json", 20)
    assert show(api, waiting)["status"] == "starting"
    odd.schema = OddCog("").schema
    assert wait_for(api, waiting)["output"] == "fine"


def test_a_row_that_the_database_refuses_ends_all_the_same(tmp_path):
    async def end() -> Prediction:
        async with open_api(tmp_path) as (api, _):
            row = Prediction(id="one", account="a", model="a/m", version="v", created_at=1.0, logs="", metrics={})
            row.webhook_events_filter = []
            await api.database.save(row)
            run = api.lifecycle.active["one"] = ActivePrediction(row)
            row.deployment = "\ud800"
            await asyncio.wait_for(api.lifecycle.end(run, "succeeded", "fine"), 20)
            assert run.ended.is_set()
            assert not api.lifecycle.active
            return await api.database.get(Prediction, "one")

    kept = asyncio.run(end())
    assert (kept.status, "cannot hold" in kept.error, kept.deployment) == ("failed", True, None)


def test_signed_addresses_in_errors_and_logs_lose_their_query(talker):
    api, odd = talker
    address = "https://bucket.example/a.png?X-Amz-Signature=key"
    odd.news = [told(status="failed", error=f"cannot open {address}", logs=f"opening {address}\n")]
    done = wait_for(api, create(api, text="a")["id"])
    assert "X-Amz" not in done["error"] + done["logs"] + api.log.read_text()
    assert "https://bucket.example/a.png?..." in done["error"]
