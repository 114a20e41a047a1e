"""What strangers send, by itself: structure before meaning, odd answers, signed addresses, odd cursors."""

import asyncio
import base64
import json
import threading
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from easel.api.active import refusal_reason
from easel.api.bodies import NewPrediction, Turns, parse_body, receive
from easel.api.cursors import read_cursor
from easel.api.endpoint import BODY_S, SLOWEST, limited
from easel.api.problems import Problem
from easel.api.redaction import redact_queries
from easel.api.strict_json import MOST_DEPTH, JsonTooLarge, read_json
from easel.api.updates import MOST_LOGS, parse_update


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_structure_is_counted_before_anything_is_built():
    assert read_json(nested(MOST_DEPTH))
    with pytest.raises(ValueError, match="more than 64 deep"):
        read_json(nested(MOST_DEPTH + 1))
    for many in (
        b"[" + b"1," * 10_000 + b"1]",
        b"{" + b'"a":1,' * 10_000 + b'"a":1}',
        b"[" + b'"\\"",' * 30_000 + b"1]",
    ):
        with pytest.raises(JsonTooLarge, match="more than 10000 values"):
            read_json(many)
    with pytest.raises(JsonTooLarge):
        read_json(b"[" + b"[]," * 5_001 + b"1]")


def test_what_stands_in_a_text_is_no_structure():
    text = '\\"[{,' * 20_000 + "\\\\"
    assert read_json(json.dumps({"a": text, "b": ["\\", '"']}).encode()) == {"a": text, "b": ["\\", '"']}


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": NaN}',
        b"[-Infinity]",
        b"[1e999]",
        b"[" + b"9" * 5000 + b"]",
        b'"\xff"',
        b"{",
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_refused(data):
    with pytest.raises(ValueError, match="."):
        read_json(data)


def test_a_body_has_at_most_twenty_errors():
    names = ", ".join(f'"{k}"' for k in range(3)) + ", 1" * 5000
    with pytest.raises(Problem) as problem:
        parse_body(f'{{"input": {{}}, "webhook_events_filter": [{names}]}}'.encode(), NewPrediction)
    assert (problem.value.status, len(problem.value.extra["invalid_fields"]) <= 20) == (422, True)
    with pytest.raises(Problem) as problem:
        parse_body(b'{"input": {"a": [' + b"1," * 20_000 + b"1]}}", NewPrediction)
    assert problem.value.status == 413


def request_of(chunks: list[bytes], api: object) -> Request:
    messages = [{"type": "http.request", "body": one, "more_body": True} for one in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def next_message() -> dict:
        return messages.pop(0)

    request = Request({"type": "http", "method": "POST", "headers": []}, next_message)
    request.state.api = api
    return request


def test_large_bodies_wait_in_a_file_and_are_read_in_a_thread_one_at_a_time(tmp_path):
    at_once, most = 0, 0

    def read(data: bytes) -> tuple[int, int]:
        nonlocal at_once, most
        at_once, most = at_once + 1, max(most, at_once + 1)
        found = len(data), threading.get_ident()
        at_once -= 1
        return found

    async def both() -> list[tuple[int, int]]:
        outputs = SimpleNamespace(incoming=tmp_path)
        api = SimpleNamespace(outputs=outputs, large_bodies=Turns(), check_disk=lambda: None)
        chunk = bytes(600_000)
        wanted = [request_of([chunk, chunk], api) for _ in range(4)] + [request_of([b"small"], api)]
        return await asyncio.gather(*(receive(one, read) for one in wanted))

    *large, small = asyncio.run(both())
    assert {size for size, _ in large} == {1_200_000}
    assert threading.get_ident() not in {thread for _, thread in large}
    assert small == (5, threading.get_ident())
    assert most == 1
    assert not list(tmp_path.iterdir())


def test_accounts_take_turns_with_large_bodies():
    async def order() -> list[str]:
        turns, seen = Turns(), []

        async def take(name: str) -> None:
            async with turns.turn(name[0]):
                seen.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*map(take, ("a1", "a2", "a3", "b1", "c1")))
        return seen

    assert asyncio.run(order())[:3] == ["a1", "b1", "c1"]


def test_a_body_that_only_trickles_in_is_refused_however_often_something_comes():
    clock = [0.0]

    async def drip() -> dict:
        clock[0] += 1.0
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read() -> None:
        take = limited(drip, 1000, lambda: clock[0])
        while True:
            await take()

    with pytest.raises(Problem, match="slower than"):
        asyncio.run(read())
    assert BODY_S <= clock[0] <= BODY_S + 2
    assert SLOWEST > 1000  # so one byte a second buys no time


@pytest.mark.parametrize(
    "news",
    [b"[]", b"nothing", b'{"metrics": {"a": NaN}}', nested(70), b'{"id": "other", "status": "succeeded"}', b"\xff"],
)
def test_news_that_cannot_be_meant_are_refused(news):
    with pytest.raises(ValueError, match="."):
        parse_update(news, "one")


def test_of_odd_news_what_can_be_kept_is_kept():
    odd = {
        "id": "one",
        "status": "succeeded",
        "logs": ["no", "text"],
        "output": ["a\0b", "\ud800", {"\ud800": 1}],
        "error": {"a": 1},
        "metrics": [1, 2],
    }
    news = parse_update(json.dumps(odd).encode(), "one")
    assert (news.status, news.logs, news.error, news.metrics) == ("succeeded", "", None, {})
    assert news.output == ["a\ufffdb", "?", {"?": 1}]
    assert parse_update(b'{"status": ["succeeded"]}', "one").status is None
    assert parse_update(b'{"status": "finished"}', "one").status is None
    good = {"predict_time": 1.5, "seeds": [1, 2], "ok": "yes"}
    metrics = good | {"large": [1] * 1000, "text": "x" * 1000, "n" * 2000: 1}
    assert parse_update(json.dumps({"metrics": metrics}).encode(), "one").metrics == good
    assert parse_update(b'{"metrics": {"predict_time": [1]}}', "one").metrics == {}
    endless = parse_update(json.dumps({"logs": "x" * (3 * MOST_LOGS)}).encode(), "one").logs
    assert len(endless) < MOST_LOGS + 100
    assert "rest of it is not kept" in endless


def test_a_refusal_of_any_shape_is_a_short_sentence():
    for answer in ({"detail": [{"loc": 5}]}, {"detail": ["x"]}, [[]], {"detail": "y" * 10_000}, None, 5):
        assert len(refusal_reason(answer)) <= 2000
    assert refusal_reason({"detail": [{"loc": ["body", "input", "a"], "msg": "wrong"}]}) == "a: wrong"


def test_signed_addresses_lose_their_query_and_nothing_else_does():
    text = 'no "https://a.b/c.png?X-Amz-Signature=abc&x=1" or (HTTP://d.e/f?token=g) but https://h.i/j? Really?'
    assert redact_queries(text) == 'no "https://a.b/c.png?..." or (HTTP://d.e/f?... but https://h.i/j? Really?'
    assert redact_queries("http://" * 100_000 + "a ?b") == "http://" * 100_000 + "a ?b"
    assert (
        parse_update(b'{"logs": "from https://a/b?c", "error": "https://a/b?c"}', "one").logs == "from https://a/b?..."
    )


@pytest.mark.parametrize(
    "place",
    ['[true, 1e999, "a"]', "[true, " + "9" * 400 + ', "a"]', '[0, 1.0, "a"]', '[true, 1.0, ["a"]]',
     '[true, NaN, "a"]', '[true, 1.0, "\\u0000"]', '[true, 1.0, "\\ud800"]', "[" * 5000, '{"a": 1}', ""],
)  # fmt: skip
def test_an_odd_cursor_is_refused(place):
    with pytest.raises(Problem) as problem:
        read_cursor(base64.urlsafe_b64encode(place.encode()).decode().rstrip("="))
    assert problem.value.status == 400


def test_the_text_of_a_cursor_is_not_trusted_either():
    for text in ("é", "a", "!!!!"):
        with pytest.raises(Problem):
            read_cursor(text)
