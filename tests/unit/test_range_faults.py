"""Transient faults of a download are overcome, in as few bytes as can be."""

import threading
import time
from dataclasses import replace

import pytest

from easel.weights.download.fetch import Limits
from tests.support.fault_server import Answer, part_of
from tests.support.range_download import BODY, CHUNK, FILE, SIZE, chunks_asked, ranged

pytestmark = pytest.mark.slow


def test_each_chunk_is_asked_for_once_on_the_condition_of_the_etag(server, download):
    server.routes["/a"] = ranged()
    download.gives_the_file()
    expected = [(first, min(first + CHUNK, SIZE) - 1) for first in range(0, SIZE, CHUNK)]
    assert sorted(chunks_asked(server)) == expected
    assert all(seen.headers["if-range"] == '"one"' for seen in server.seen[1:])
    assert all(seen.headers["accept-encoding"] == "identity" for seen in server.seen)
    assert download.logs == []


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500),
        Answer(503),
        Answer(408),
        Answer(206, body=BODY[:CHUNK], cut=777, headers={"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"}),
        Answer(stall=-1),
        Answer(206, body=BODY[:CHUNK], stall=3000, headers={"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"}),
        Answer(206, body=b"", length=-1, headers={"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"}),
    ],
    ids=str,
)
def test_transient_fault_is_overcome(server, download, fault):
    server.routes["/a"] = ranged(before=[fault])
    download.gives_the_file(connections=1)
    assert len(download.logs) == 1
    assert download.logs[0].startswith("the file: 127.0.0.1 ")


def test_500_five_times_then_good(server, download):
    server.routes["/a"] = ranged(before=[Answer(500)] * 5)
    download.gives_the_file(connections=1)
    assert len(download.logs) == 5
    assert "status 500" in download.logs[0]


def test_500_for_ever_is_said_after_all_attempts(server, download):
    server.routes["/a"] = ranged(before=[Answer(500)] * 1000)
    download.fails("127.0.0.1 answers with status 500, 7 times")


def test_bytes_that_came_before_a_break_are_not_asked_for_again(server, download):
    cut = 3000
    server.routes["/a"] = ranged(
        before=[Answer(206, BODY[:CHUNK], {"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"}, cut=cut)]
    )
    download.gives_the_file(connections=1)
    assert chunks_asked(server)[:2] == [(0, CHUNK - 1), (cut, CHUNK - 1)]


class EnoughError(Exception):
    """Ends a download from its callback."""


def test_429_pauses_all_connections(server, download):
    asked, all_ask, is_logged = [], threading.Event(), threading.Event()

    def answer(seen):
        if seen.range == (0, 0):
            return part_of(FILE, seen)
        asked.append(seen)
        if len(asked) == 4:
            all_ask.set()
        if len(asked) == 1:
            return Answer(429, headers={"Retry-After": "3600"}, hold=all_ask)
        return part_of(replace(FILE, hold=is_logged), seen)

    def progress(count):
        download.progress.append(count)
        if sum(download.progress) == 3 * CHUNK:  # what was asked for before is here, and its connections are free
            time.sleep(0.2)
            raise EnoughError

    server.routes["/a"] = answer
    with pytest.raises(EnoughError):
        download(progress=progress, log=lambda line: is_logged.set(), limits=Limits(chunk_bytes=CHUNK, max_wait_s=3600))
    assert len(asked) == 4


def test_429_that_asks_for_a_day_gets_the_most_that_is_allowed(server, download):
    server.routes["/a"] = ranged(before=[Answer(429, headers={"Retry-After": "86400"})])
    download.gives_the_file()
    assert "follows in 0.3 s" in download.logs[0]


def test_server_without_ranges_gives_one_plain_stream(server, download):
    server.routes["/a"] = FILE
    download.gives_the_file()
    assert [seen.range for seen in server.seen] == [(0, 0), None]


def test_plain_stream_that_breaks_begins_again(server, download):
    server.routes["/a"] = [FILE, Answer(body=BODY, cut=100_000), Answer(body=BODY, cut=200_000, length=-1), FILE]
    download.gives_the_file()
    assert len(download.logs) == 2


def test_stream_without_a_length_is_read_to_its_end(server, download):
    server.routes["/a"] = Answer(body=BODY, length=-1)
    download.gives_the_file(size=None)


def test_server_that_forgets_ranges_in_the_middle_gives_one_plain_stream(server, download):
    answers = []

    def forgetful(seen):
        answers.append(seen)
        return part_of(FILE, seen) if len(answers) < 6 else FILE

    server.routes["/a"] = forgetful
    download.gives_the_file()
    assert "fetched in one stream" in download.logs[0]
