"""A guarded fetch: transient errors, waits and limits of time."""

import socket
import time
from email.utils import formatdate

import pytest

from tests.support.fast_clock import FastClock
from tests.support.fault_server import Answer
from tests.unit.fetch.common import BODY, changed

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=429),
        Answer(status=500),
        Answer(status=502),
        Answer(status=503),
        Answer(status=504),
        Answer(body=BODY, cut=1000),
        Answer(body=BODY, cut=0),
        Answer(body=BODY, length=len(BODY) + 1),
        Answer(body=BODY, stall=1000),
        Answer(stall=-1),
    ],
    ids=str,
)
def test_passing_fault_is_overcome_and_logged(server, get, tmp_path, logs, fault):
    server.routes["/a"] = [fault, Answer(body=BODY)]
    assert get("/a", network=changed(stall_s=0.3)).size == len(BODY)
    assert (tmp_path / "file").read_bytes() == BODY
    assert len(logs) == 1
    assert logs[0].startswith("the file: 127.0.0.1 ")
    assert logs[0].endswith("attempt 2 of 4 follows in 0.01 s")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Answer(status=503), "the file: 127.0.0.1 answers with status 503, 4 times. Try again later."),
        (Answer(body=BODY, cut=9), "the file: 127.0.0.1 breaks off in the middle, 4 times. Try again later."),
        (Answer(stall=-1), "the file: 127.0.0.1 sent nothing for 0.1 s, 4 times. Try again later."),
    ],
    ids=str,
)
def test_lasting_fault_ends_in_a_sentence(server, refusal, fault, sentence):
    server.routes["/a"] = fault
    assert refusal("/a", network=changed(stall_s=0.1)) == sentence
    assert server.count("/a") == 4


def test_nobody_listening_is_said_after_all_attempts(server, refusal):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        assert refusal(url) == "the file: 127.0.0.1 takes no connection, 4 times. Try again later."


@pytest.mark.parametrize("text", ["0", formatdate(time.time() - 100, usegmt=True)], ids=["0", "a past date"])
def test_server_may_ask_for_no_wait(server, get, logs, text):
    server.routes["/a"] = [Answer(status=429, headers={"Retry-After": text}), Answer(body=BODY)]
    get("/a", network=changed(backoff_s=2.0, max_backoff_s=2.0))
    assert logs[0].endswith("follows in 0 s")


@pytest.mark.parametrize(
    "text", ["1", "9999999", formatdate(time.time() + 3600, usegmt=True)], ids=["1", "9999999", "a coming date"]
)
def test_server_that_asks_for_a_long_wait_gets_the_most_that_is_allowed(server, get, logs, text):
    server.routes["/a"] = [Answer(status=503, headers={"Retry-After": text}), Answer(body=BODY)]
    get("/a")
    assert logs[0].endswith("follows in 0.05 s")


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "Thu, 99 Foo 2999 99:99:99 GMT", "9" * 50])
def test_unreadable_wait_is_ignored(server, get, logs, text):
    server.routes["/a"] = [Answer(status=503, headers={"Retry-After": text}), Answer(body=BODY)]
    get("/a")
    assert logs[0].endswith("follows in 0.01 s")


def test_waits_double_up_to_the_limit(server, refusal, logs):
    server.routes["/a"] = Answer(status=500)
    refusal("/a", network=changed(backoff_s=0.02, max_backoff_s=0.06))
    assert [line.rpartition(" in ")[2] for line in logs] == ["0.02 s", "0.04 s", "0.06 s"]


def test_file_that_drips_meets_the_overall_limit(server, refusal):
    server.routes["/a"] = Answer(body=BODY, drip_s=0.05)
    assert "and 0.5 s are over" in refusal("/a", network=changed(total_s=0.5))


def test_file_that_comes_too_slowly_is_given_up_after_the_time_over_which_that_is_measured(server, refusal):
    server.routes["/a"] = Answer(body=BODY, drip_s=0.01)
    network = changed(least_rate=50_000, rate_s=10, retries=0, clock=FastClock(20))
    assert "sends less than 50 kB a second" in refusal("/a", network=network)


def test_server_may_think_before_it_answers_and_only_waiting_counts(server, get):
    clock = FastClock(1)

    def late(_):
        clock.skip(25)
        return Answer(body=BODY)

    server.routes["/a"] = late
    assert get("/a", network=changed(rate_s=10, clock=clock)).size == len(BODY)


def test_fetches_that_share_a_deadline_end_by_it(server, get, refusal):
    clock = FastClock(1)

    def late(_):
        clock.skip(40)
        return Answer(503)

    server.routes |= {"/a": Answer(body=BODY), "/late": late}
    network = changed(total_s=60, clock=clock)
    deadline = clock() + 60
    assert "60 s are over" in refusal("/late", network=network, deadline=deadline)
    assert "60 s are over" in refusal("/late", network=network, deadline=deadline)
    assert server.count("/late") == 2, "the second had no time left"
    assert get("/a", network=network).size == len(BODY)


def test_stall_ends_at_the_overall_limit_when_that_comes_first(server, refusal):
    server.routes["/a"] = Answer(body=BODY, stall=9)
    assert "0.4 s are over" in refusal("/a", network=changed(stall_s=20, total_s=0.4))


def test_nothing_of_a_longer_first_attempt_stays(server, get, tmp_path):
    server.routes["/a"] = [Answer(body=BODY, cut=100_000), Answer(body=b"short")]
    assert get("/a").size == 5
    assert (tmp_path / "file").read_bytes() == b"short"
