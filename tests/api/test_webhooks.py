"""Webhooks as a receiver sees them, checked by the official client's own helper."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from tests.api.calls import END, MODEL, create, wait_for
from tests.support.api_process import ask


class Receiver:
    """A web server on loopback that answers what `answers` says, in that order, and then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[float, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((time.monotonic(), dict(self.headers), body))
                receiver.may_answer.wait(60)
                self.send_response(receiver.answers.pop(0) if receiver.answers else http.client.OK)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def bodies(self) -> list[dict]:
        return [json.loads(body) for _, _, body in self.got]

    def wait(self, count: int = 1, seconds: float = 15) -> None:
        until = time.monotonic() + seconds
        while sum(body["status"] in END for body in self.bodies()) < count:
            assert time.monotonic() < until, self.got
            time.sleep(0.02)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


def send(api, receiver, events=None, **inputs):
    body = {"input": inputs, "webhook": receiver.url}
    if events:
        body["webhook_events_filter"] = events
    status, prediction = ask(api, "POST", MODEL, body)
    assert status == 201, prediction
    return prediction["id"]


def test_start_logs_and_the_end_come_in_order_and_logs_at_most_twice_a_second(api, receiver):
    identity = send(api, receiver, seconds=2)
    receiver.wait(2)  # `output` and `completed`
    bodies = receiver.bodies()
    assert {body["id"] for body in bodies} == {identity}
    assert bodies[0]["status"] == "processing"
    assert bodies[0]["logs"] == ""
    assert [body["status"] for body in bodies].index("succeeded") == len(bodies) - 2
    logs = [body["logs"] for body in bodies]
    assert logs == sorted(logs, key=len)
    between = [at for at, _, body in receiver.got if json.loads(body)["status"] == "processing"][1:]
    assert 2 <= len(between) <= 5
    assert all(later - earlier > 0.4 for earlier, later in itertools.pairwise(between))
    assert bodies[-1]["output"][0].startswith(f"{api.url}/delivery/")


@pytest.mark.parametrize(
    ("events", "count"), [(["completed"], 1), (["start"], 1), (["start", "completed"], 2), (["output"], 1)]
)
def test_only_the_events_that_were_asked_for_come(api, receiver, events, count):
    identity = send(api, receiver, events, seconds=0.6)
    wait_for(api, identity)
    time.sleep(0.3)
    assert len(receiver.got) == count


def test_the_clients_own_helper_accepts_the_signature_and_refuses_a_changed_body(api, receiver):
    send(api, receiver, ["completed"])
    receiver.wait()
    ((_, headers, body),) = receiver.got
    secret = WebhookSigningSecret(key=ask(api, "GET", "/v1/webhooks/default/secret")[1]["key"])
    headers = {name.lower(): value for name, value in headers.items()}
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=60)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)


def test_the_end_is_told_until_it_is_taken_and_other_events_once(api, receiver):
    receiver.answers = [500, 500, 302]  # start, then twice the end; a redirect is not followed
    send(api, receiver, ["start", "completed"])
    receiver.wait(3)
    assert [body["status"] for body in receiver.bodies()] == ["processing", *["succeeded"] * 3]
    ends = receiver.got[1:]
    assert len({headers["webhook-id"] for _, headers, _ in ends}) == 1
    assert ends[1][0] - ends[0][0] > 0.9
    assert ends[2][0] - ends[1][0] > 1.9


def test_the_end_is_told_after_the_api_was_killed(new_api, cog, receiver):
    api = new_api(cog.url, allow_private_webhooks=True)
    receiver.answers = [500]
    wait_for(api, send(api, receiver, ["completed"]))
    receiver.wait(1)
    api.kill()
    api.start()
    receiver.wait(2)


def test_a_receiver_that_hangs_holds_nothing_up(api, receiver):
    receiver.may_answer.clear()
    send(api, receiver)
    assert wait_for(api, create(api)["id"])["status"] == "succeeded"
    receiver.may_answer.set()


def test_a_private_address_is_refused_unless_allowed(new_api, cog):
    api = new_api(cog.url)
    for url in ("https://127.0.0.1/", "http://example.com/", "https://10.1.2.3/"):
        status, problem = ask(api, "POST", MODEL, {"input": {}, "webhook": url})
        assert status == 422
        assert "webhook" in problem["detail"]
    # A name is looked up when it is delivered to, and nothing is sent to what it stands for.
    status, prediction = ask(api, "POST", MODEL, {"input": {}, "webhook": "https://localhost:9/"})
    assert status == 201
    wait_for(api, prediction["id"])
    for _ in range(100):
        if "localhost has a loopback address" in api.log.read_text():
            break
        time.sleep(0.02)
    else:
        raise AssertionError(api.log.read_text())
