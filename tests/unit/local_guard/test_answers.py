"""The guard of script/serve: answers."""

import json

import pytest

from tests.unit.local_guard.common import connect, read_all, read_until


def failed(error, length=None, **members):
    body = json.dumps({"status": "failed", "error": error, **members}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


def answered(front, upstream, answer, head="POST /predictions HTTP/1.1\nHost: localhost\nContent-Length: 0"):
    with connect(front) as caller:
        caller.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        with upstream.accept() as server:
            read_until(server, b"\r\n\r\n")
            server.sendall(answer)
        return read_all(caller)


@pytest.mark.parametrize(
    ("error", "plain"),
    [
        ("Prediction failed: Prediction failed: InputError: width must be at least 64, not 3.", None),
        ("Prediction failed: AdapterError: größer, «so»", "größer, «so»"),
        ("Prediction failed: UnreachableError: it is down.", "it is down."),
        ("Prediction failed: ValueError: no sentence", "ValueError: no sentence"),
        ("a sentence already", "a sentence already"),
    ],
)
@pytest.mark.parametrize("path", ["POST /predictions", "PUT /predictions/abc?x=1"])
def test_the_error_of_a_failed_prediction_is_the_sentence_alone(front, upstream, error, plain, path):
    head = f"{path} HTTP/1.1\nHost: localhost\nContent-Length: 0"
    came, _, body = answered(front, upstream, failed(error, id="x"), head).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in came
    expected = {"status": "failed", "error": plain or "width must be at least 64, not 3.", "id": "x"}
    assert json.loads(body) == expected


WRONG = "Prediction failed: InputError: no"


OTHERS = {
    "one that succeeded": failed(WRONG).replace(b'"failed"', b'"succes"'),
    "one whose error is no text": failed({"Prediction failed": 1}),
    "a list": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]",
    "no JSON": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{]",
    "text": failed(WRONG).replace(b"application/json", b"text/plain"),
    "a length written otherwise": failed(WRONG).replace(b"content-length: ", b"content-length:  "),
    "without a length": failed(WRONG).replace(b"content-length", b"x-length"),
    "no HTTP": b"what is this\r\n\r\n" + b"x" * 99,
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-",
    "nothing": b"",
    "too large": failed(WRONG + "x" * 1_000_000),
}


@pytest.mark.parametrize("answer", OTHERS.values(), ids=OTHERS)
def test_every_other_answer_goes_on_as_it_came(front, upstream, answer):
    assert answered(front, upstream, answer) == answer


def test_answers_to_other_requests_go_on_as_they_came(front, upstream):
    for first in ("GET /predictions", "POST /predictions/abc/cancel", "POST /other"):
        head = f"{first} HTTP/1.1\nHost: localhost"
        assert answered(front, upstream, failed(WRONG), head) == failed(WRONG)


@pytest.mark.parametrize("busy", [0, 1, 3])
def test_right_after_an_answer_the_next_request_waits_for_the_slot(front, upstream, busy):
    answered(front, upstream, failed("no"))
    head = b"POST /predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    with connect(front) as caller:
        caller.sendall(head)
        for state in ["BUSY"] * busy + ["READY"]:
            with upstream.accept() as server:
                first = read_until(server, b"\r\n\r\n")
                if first.startswith(b"POST"):
                    break  # this machine took longer than the wait
                assert first.startswith(b"GET /health-check ")
                server.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"status":"%s"}' % state.encode())
        else:
            with upstream.accept() as server:
                assert read_until(server, b"\r\n\r\n").startswith(b"POST /predictions ")
