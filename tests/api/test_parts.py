"""The API's parts by themselves: headers, input checks, fair order, addresses of webhooks."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from easel.api.headers import parse_cancel_after, parse_prefer
from easel.api.problems import Problem
from easel.api.queue import FairQueue
from easel.api.rate_limit import RateLimiter
from easel.api.validation import check_input, redacted
from easel.api.webhooks import check_webhook

OPENAPI = json.loads((Path(__file__).resolve().parents[2] / "openapi.json").read_text())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("respond-async", None),
        ("wait", 60),
        ("wait=1", 1),
        ("wait=60", 60),
        ("wait=99", 60),
        ("respond-async, wait=9", 9),
    ],
)
def test_prefer_says_how_long_to_wait(value, seconds):
    assert parse_prefer(value) == seconds


@pytest.mark.parametrize("value", ["wait=0", "wait=100", "wait=1.5", "wait=", "wait=-1", "waiting"])
def test_another_wait_is_refused(value):
    with pytest.raises(Problem, match="from 1 to 60"):
        parse_prefer(value)


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("30", 30), ("90s", 90), ("5m", 300), ("1h30m45s", 5445), (" 1H ", 3600)]
)
def test_cancel_after_is_a_duration(value, seconds):
    assert parse_cancel_after(value) == seconds


@pytest.mark.parametrize("value", ["4", "0", "", "1d", "5 m", "-5m", "1.5m", "soon"])
def test_another_duration_is_refused(value):
    with pytest.raises(Problem, match="5 seconds or more"):
        parse_cancel_after(value)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({}, "input", "prompt is required"),
        ({"prompt": 5}, "input.prompt", "must be a string, not 5"),
        ({"prompt": "a", "seed": "7"}, "input.seed", "must be an integer, not '7'"),
        ({"prompt": "a", "seed": None}, "input.seed", "must be an integer, not null"),
        ({"prompt": "a", "seed": True}, "input.seed", "must be an integer"),
        ({"prompt": "a", "num_outputs": 5}, "input.num_outputs", "less than or equal to 4"),
        ({"prompt": "a", "num_outputs": 0}, "input.num_outputs", "greater than or equal to 1"),
        ({"prompt": "a", "output_format": "bmp"}, "input.output_format", "must be one of 'webp', 'jpg', 'png'"),
        ([], "input", "must be an object"),
    ],
)
def test_an_input_that_does_not_fit_the_schema_is_named(given, field, words):
    with pytest.raises(Problem) as problem:
        check_input(given, OPENAPI)
    assert problem.value.status == 422
    (found,) = problem.value.extra["invalid_fields"]
    assert found["field"] == field
    assert words in found["description"]


def test_all_problems_are_in_one_answer_and_unknown_names_are_told():
    with pytest.raises(Problem) as problem:
        check_input({"seed": -1, "num_outputs": 9}, OPENAPI)
    assert len(problem.value.extra["invalid_fields"]) == 3
    assert check_input({"prompt": "a", "sampler": 1}, OPENAPI) == ["sampler"]


def test_secrets_are_hidden_and_nothing_else():
    given = {"prompt": "a", "hf_token": "hf_abc", "civitai_token": ""}
    assert redacted(given, OPENAPI) == {"prompt": "a", "hf_token": "[REDACTED]", "civitai_token": ""}


def test_accounts_take_turns_and_within_one_the_oldest_is_first():
    async def order() -> list[str]:
        queue = FairQueue()
        for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
            await queue.put(SimpleNamespace(id=name, account=name[0], version="v"))
        return [(await queue.get({"v", "w"})).id for _ in range(6)]

    assert asyncio.run(order()) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_that_is_put_back_is_next_and_one_that_is_discarded_never_comes():
    async def order() -> list[str]:
        queue = FairQueue()
        rows = [SimpleNamespace(id=name, account=name[0], version="v") for name in ("a1", "b1", "a2", "b2")]
        for row in rows:
            await queue.put(row)
        first = await queue.get({"v"})
        await queue.put(first, first=True)
        assert queue.discard(rows[2])
        assert not queue.discard(rows[2])
        assert len(queue) == 3
        return [(await queue.get({"v"})).id for _ in range(3)]

    assert asyncio.run(order()) == ["a1", "b1", "b2"]


def test_a_server_gets_only_its_own_versions_also_those_that_it_learns_later():
    async def found() -> str:
        queue = FairQueue()
        await queue.put(SimpleNamespace(id="one", account="a", version="v"))
        versions = {"w"}
        waiting = asyncio.create_task(queue.get(versions))
        await asyncio.sleep(0)
        assert not waiting.done()
        versions.add("v")
        await queue.wake()
        return (await waiting).id

    assert asyncio.run(found()) == "one"


def test_a_limit_is_one_accounts_own_and_says_when_to_come_again():
    limiter = RateLimiter(60)
    for left in range(59, -1, -1):
        assert limiter.take("a") == {"ratelimit-remaining": str(left), "ratelimit-reset": "1"}
    with pytest.raises(Problem, match="Expected available in 1 second") as problem:
        limiter.take("a")
    assert problem.value.response().headers["Retry-After"] == "1"
    assert limiter.take("b")["ratelimit-remaining"] == "59"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "https://"),
        ("https://127.0.0.1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://10.0.0.1/x", "private"),
        ("https://169.254.169.254/", "link-local"),
        ("ftp://example.com", "https://"),
        ("nonsense", "https://"),
        ("https://[", "https://"),
    ],
)
def test_a_webhook_goes_to_public_https_addresses_only(url, words):
    with pytest.raises(Problem, match=words):
        check_webhook(url, allow_private=False)


def test_a_flag_allows_private_webhooks():
    check_webhook("http://127.0.0.1:8000/hook", allow_private=True)
    check_webhook("https://example.com/hook", allow_private=False)
