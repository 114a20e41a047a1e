"""A model that yields: its output grows in polls and webhooks, and comes as server-sent events."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.api.calls import create, wait_for
from tests.clients.receiver import receiving
from tests.support.api_process import Api, ask, run_api, wait_for_version
from tests.support.yielding import run_yielder

WORDS = "one two three four five"
PARTS = ["one ", "two ", "three ", "four ", "five "]


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("yielding")
    options = {"rate_limit": 0, "allow_private_webhooks": True}
    with run_yielder(folder / "model") as url, run_api(folder / "api", [f"test/talker={url}"], **options) as api:
        wait_for_version(api, "test/talker")
        yield api


def start(api: Api, **given) -> dict:
    status, prediction = ask(api, "POST", "/v1/models/test/talker/predictions", {"input": {"words": WORDS} | given})
    assert status == 201
    return prediction


def events(url: str, **headers: str) -> list[tuple[str, str, str]]:
    """(kind, data, id) of each, to the end of the stream."""
    request = urllib.request.Request(url, headers={"Accept": "text/event-stream"} | headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        text = answer.read().decode()
    assert text.endswith("\n\n")
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        lines = [line.partition(": ")[::2] for line in block.split("\n")]
        data = "\n".join(value for name, value in lines if name == "data")
        found.append((dict(lines)["event"], data, dict(lines)["id"]))
    return found


def parts(found) -> list[str]:
    return [data for kind, data, _ in found if kind == "output"]


def test_output_grows_while_it_runs(api):
    prediction = start(api, seconds=0.3)
    seen, done = [], None
    while not done:
        _, now = ask(api, "GET", f"/v1/predictions/{prediction['id']}")
        if now["output"] and now["output"] not in seen:
            seen.append(now["output"])
        done = now if now["status"] == "succeeded" else None
    assert done["output"] == PARTS
    assert len(seen) >= 3
    assert all(one == PARTS[: len(one)] for one in seen)


def test_webhooks_tell_of_it(api):
    with receiving() as receiver:
        ask(
            api,
            "POST",
            "/v1/models/test/talker/predictions",
            {
                "input": {"words": WORDS, "seconds": 0.3},
                "webhook": receiver.url,
                "webhook_events_filter": ["output", "completed"],
            },
        )
        outputs = [one["output"] for one in receiver.until_completed()]
    assert outputs == sorted(outputs, key=len)
    assert outputs[-1] == PARTS
    assert any(len(one) < len(PARTS) for one in outputs)


def test_stream_gives_each_part_as_it_comes_and_all_of_an_ended_one(api):
    prediction = start(api, seconds=0.1)
    live = events(prediction["urls"]["stream"])
    assert parts(live) == PARTS
    assert live[-1][:2] == ("done", "{}")
    assert "".join(data for kind, data, _ in live if kind == "logs").startswith("now 'one'\n")
    again = events(prediction["urls"]["stream"])
    assert parts(again) == PARTS
    assert again[-1][:2] == ("done", "{}")


def test_stream_goes_on_after_the_last_event_that_was_seen(api):
    prediction = start(api)
    wait_for(api, prediction["id"])
    found = events(prediction["urls"]["stream"])
    third = [number for kind, _, number in found if kind == "output"][2]
    assert parts(events(prediction["urls"]["stream"], **{"Last-Event-ID": "x"})) == PARTS
    assert parts(events(prediction["urls"]["stream"], **{"Last-Event-ID": third})) == PARTS[3:]


def test_stream_says_how_it_ended(api):
    failed = events(start(api, fail=True)["urls"]["stream"])
    assert [kind for kind, *_ in failed[-2:]] == ["error", "done"]
    assert "told to fail" in json.loads(failed[-2][1])["detail"]
    assert json.loads(failed[-1][1]) == {"reason": "error"}
    prediction = start(api, seconds=5)
    ask(api, "POST", f"/v1/predictions/{prediction['id']}/cancel")
    assert json.loads(events(prediction["urls"]["stream"])[-1][1]) == {"reason": "canceled"}


def test_parts_with_line_breaks_come_whole(api):
    prediction = start(api, words="a\nb \r\nc  d")
    assert "".join(parts(events(prediction["urls"]["stream"]))) == "a\nb \nc  d "


def test_a_canceled_one_keeps_what_it_had_given(api):
    prediction = start(api, seconds=1)
    while not ask(api, "GET", f"/v1/predictions/{prediction['id']}")[1]["output"]:
        pass
    ask(api, "POST", f"/v1/predictions/{prediction['id']}/cancel")
    assert wait_for(api, prediction["id"])["output"][0] == "one "


@pytest.mark.parametrize("change", [lambda url: url[:-1] + "x", lambda url: url.replace("/stream/", "/stream/x")])
def test_address_of_a_stream_cannot_be_guessed(api, change):
    url = start(api)["urls"]["stream"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(change(url), timeout=20)
    assert caught.value.code == 404
    caught.value.close()


def test_readers_who_go_or_do_not_read_harm_nobody(api):
    prediction = start(api, seconds=0.2)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    unread = [opener.open(prediction["urls"]["stream"], timeout=20) for _ in range(20)]
    for one in unread[:10]:
        one.close()
    assert wait_for(api, prediction["id"])["output"] == PARTS
    for one in unread[10:]:
        assert b"event: done" in one.read()


def test_one_account_cannot_take_all_connections(api):
    prediction = start(api, seconds=1.5)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opened, refused = [], []
    for _ in range(130):
        try:
            opened.append(opener.open(prediction["urls"]["stream"], timeout=20))
        except urllib.error.HTTPError as error:
            error.close()
            refused.append(error.code)
    assert (len(opened), refused) == (100, [429] * 30)
    ask(api, "POST", f"/v1/predictions/{prediction['id']}/cancel")
    for one in opened:
        assert b"event: done" in one.read()
    assert parts(events(start(api)["urls"]["stream"])) == PARTS


def test_thousands_of_parts_at_once_come_whole(api):
    prediction = start(api, words=" ".join(map(str, range(2000))))
    assert parts(events(prediction["urls"]["stream"])) == [f"{number} " for number in range(2000)]
    assert len(wait_for(api, prediction["id"])["output"]) == 2000


def test_models_that_do_not_yield_have_no_stream(cog, new_api):
    prediction = create(new_api(cog.url), text="a")
    assert "stream" not in prediction["urls"]
