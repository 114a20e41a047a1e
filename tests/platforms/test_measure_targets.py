"""Cog's protocol and Replicate's against a server of known times; hostile answers; who gets which token."""

import asyncio
import itertools
import json
import socket

import pytest

from easel.errors import InputError
from easel.local.client import ServerError
from easel.platforms.find_target import Place, find_target, headers_for, parse_name
from easel.platforms.http import MAX_BYTES, RequestError, open_client
from easel.platforms.inputs import inputs_maker
from easel.platforms.load import Budget, Driver
from tests.support.known_target import SCHEMA, VERSION, known_target

NAMED = "owner/name"


def drive(target, arrivals, timeout=30.0, place=None, headers=None):
    noted = []

    async def work():
        async with open_client(target.url, headers or {}) as client:
            found = await find_target(client, place or Place(target.url))
            make = inputs_maker({"prompt": "number {n}"}, found.about.schema, 5)
            driver = Driver(found, make, noted.append, timeout, Budget(), asyncio.Event())
            await driver.drive(arrivals, "warm")

    asyncio.run(work())
    return sorted(noted, key=lambda one: one.number)


@pytest.mark.parametrize("kind", ["cog", "replicate"])
def test_requests_queue_in_order_and_latency_is_wait_and_run(kind):
    """The target itself says when each run began and ended: 0.5 s each, one after another."""
    with known_target(kind=kind, seconds=[0.5]) as target:
        noted = drive(target, [0.0, 0.1, 0.2])
    assert [one.status for one in noted] == ["succeeded"] * 3
    assert [one["prompt"] for one in target.inputs] == ["number 0", "number 1", "number 2"]
    assert [one["seed"] for one in target.inputs] == [one.seed for one in noted] == [5, 6, 7]
    begun = [began for began, _ in target.runs]
    assert [after - before >= 0.5 for before, after in itertools.pairwise(begun)] == [True, True]
    for one, (began, ended) in zip(noted, target.runs, strict=True):
        assert one.run_seconds == pytest.approx(ended - began)
        assert one.latency_seconds >= one.queue_seconds + one.run_seconds >= 0.5
    # By hand: 0.5, 0.9 and 1.3 s, of which the waits are 0, 0.4 and 0.8. The machine can only make them longer.
    assert [one.latency_seconds >= by_hand for one, by_hand in zip(noted, (0.5, 0.9, 1.3), strict=True)] == [True] * 3
    for one, ready in zip(noted, (0.0, 0.5, 1.0), strict=True):
        assert one.sent + one.queue_seconds >= ready - 0.01
    assert all(one.started >= one.sent for one in noted)
    assert all(one.completed >= one.started + one.run_seconds - 0.01 for one in noted)


@pytest.mark.parametrize("kind", ["cog", "replicate"])
def test_a_stall_of_the_target_shows_in_all_requests_meant_during_it(kind):
    with known_target(kind=kind, seconds=[0.01, 2.0, 0.01]) as target:
        noted = drive(target, [k / 10 for k in range(20)])
    began, ended = target.runs[1]
    assert ended - began >= 2
    for one in noted[1:]:  # the stall cannot be over before 2 s have gone by, and all were meant before that
        assert one.latency_seconds >= 2 - one.intended
        assert one.run_seconds < 1 or one.number == 1


def test_a_cog_server_never_gets_two_at_once_and_another_callers_request_is_waited_for():
    with known_target(seconds=[0.05]) as target:
        target.slot.acquire()

        async def work():
            async with open_client(target.url, {}) as client:
                found = await find_target(client, Place(target.url))
                sending = asyncio.create_task(found.send({}))
                while target.busy < 3:
                    await asyncio.sleep(0.01)
                target.slot.release()
                return await sending

        answer = asyncio.run(work())
        assert answer.status == "succeeded"
        assert answer.queue_seconds > 0
        busy = target.busy
        drive(target, [0.0] * 5)
    assert target.busy == busy  # the slot of this server is free as soon as it has answered
    assert len(target.runs) == 6


@pytest.mark.parametrize("kind", ["cog", "replicate"])
@pytest.mark.parametrize(
    ("oddity", "error", "words"),
    [
        ((200, {}, b"never json"), "unreadable", "no JSON object: never json"),
        ((200, {}, b"[1]"), "unreadable", "no JSON object"),
        ((200, {}, b"[" * 100_000), "unreadable", "no JSON object"),
        ((200, {}, b'{"id": "p1", "status": "succeeded", "metrics": {"predict_time": NaN}}'), "unreadable", "NaN"),
        ((200, {}, b""), "unreadable", "no JSON object"),
        ((500, {}, b"oh no"), "server_error", "500: oh no"),
        ((503, {}, b"\xff\xfe"), "server_error", "503"),
        ((429, {"Retry-After": "7"}, b"{}"), "rate_limited", "{}"),
        ((429, {"Retry-After": "soon"}, b"{}"), "rate_limited", "{}"),
        ((422, {}, b'{"detail": "seed: too low"}'), "refused", "422: seed: too low"),
        ((401, {}, b"who?"), "refused", "401: who?"),
        ((302, {"Location": "/v1/predictions"}, b""), "refused", "a redirect, which is not followed"),
        ((200, {}, b'{"id": "p1", "status": "odd"}'), None, None),
    ],
)
def test_what_a_hostile_target_answers_is_an_error_by_kind(kind, oddity, error, words):
    with known_target(kind=kind, oddity=oddity) as target:
        (one,) = drive(target, [0.0], timeout=5.0)
    if error is None:  # an end that is none: Cog's is unreadable, Replicate's is asked for again, and is not there
        assert one.error == ("unreadable" if kind == "cog" else "refused")
        return
    assert one.error == one.status == error
    assert words in one.detail
    assert one.retry_after == (7.0 if oddity[1].get("Retry-After") == "7" else None)


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted"])
def test_a_run_that_does_not_succeed_is_an_answer_with_its_sentence(status):
    body = {"id": "p1", "status": status, "error": "it broke", "metrics": {"predict_time": 10**400, "more": []}}
    with known_target(kind="replicate", oddity=(201, {}, json.dumps(body).encode())) as target:
        (one,) = drive(target, [0.0])
    assert (one.status, one.error) == (status, "failed" if status == "failed" else "canceled")
    assert (one.detail, one.run_seconds) == ("it broke", None)


def test_a_body_that_never_ends_is_given_up():
    async def work():
        async def endless(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    writer.write(b" " * 1_000_000)
                    await writer.drain()
            except OSError:
                writer.close()

        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, open_client(url, {}) as client:
            await find_target(client, Place(url))

    with pytest.raises(ServerError, match=f"unreadable: The answer has over {MAX_BYTES:,} bytes"):
        asyncio.run(work())


def test_nobody_there_is_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen

        async def work():
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            async with open_client(url, {}) as client:
                await find_target(client, Place(url))

        with pytest.raises(ServerError, match="gives no answer to go by .connection"):
            asyncio.run(work())


def test_a_target_that_never_says_what_it_is_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        async def work():
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            async with open_client(url, {}) as client:
                await find_target(client, Place(url), seconds=0.2)

        with pytest.raises(ServerError, match="has not said within 0.2 s what it is"):
            asyncio.run(work())


def test_a_prediction_that_nobody_waits_for_any_more_is_canceled_on_replicate():
    with known_target(kind="replicate", seconds=[20.0]) as target:
        (one,) = drive(target, [0.0], timeout=0.3)
        assert (one.error, one.latency_seconds) == ("timeout", pytest.approx(0.3))
        assert target.canceled == ["p1"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (NAMED, "/v1/predictions"),
        (f"{NAMED}:{VERSION}", "/v1/predictions"),
        (f"deployments/{NAMED}", "/v1/deployments/owner/name/predictions"),
    ],
)
def test_names_on_replicate_lead_to_their_endpoints_with_the_token(name, path):
    with known_target(kind="replicate") as target:
        place = parse_name(name, f"{target.url}/v1")
        headers = headers_for(place, target.url, {"REPLICATE_API_TOKEN": "r8_x"})
        (one,) = drive(target, [0.0], place=place, headers=headers)
    assert (one.status, one.id) == ("succeeded", "p1")
    assert [one for one in target.paths if one.startswith("POST")] == [f"POST {path}"]
    assert target.tokens == {"Bearer r8_x"}


def test_the_example_of_a_model_gives_the_estimate():
    with known_target(kind="replicate") as target:

        async def work():
            async with open_client(target.url, {}) as client:
                return (await find_target(client, Place(target.url))).about

        about = asyncio.run(work())
    assert (about.model, about.version, about.run_seconds, about.schema) == (NAMED, VERSION, 2.0, SCHEMA)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"health": "STARTING"}, ServerError, "is STARTING"),
        ({"kind": "replicate", "models": []}, ServerError, "neither a Cog server nor"),
        ({"kind": "replicate", "models": ["a/b", "c/d"]}, InputError, "choose one by --model: a/b, c/d"),
    ],
)
def test_a_target_that_cannot_be_measured_says_why(options, error, words):
    with known_target(**options) as target, pytest.raises(error, match=words):
        drive(target, [0.0])


def test_a_model_that_is_not_there_says_so():
    with known_target(kind="replicate") as target, pytest.raises(InputError, match="no such model"):
        drive(target, [0.0], place=Place(target.url, "no/model"))


def test_a_request_error_is_short():
    assert len(RequestError("refused", "x" * 5000).detail) == 300
