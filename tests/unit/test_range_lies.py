"""Servers whose ranges lie, change or end: not believed."""

import os

import pytest

from tests.support.fault_server import Answer, part_of
from tests.support.range_download import BODY, CHUNK, DIGEST, FILE, SIZE, ranged

pytestmark = pytest.mark.slow


OTHER = os.urandom(SIZE)


@pytest.mark.parametrize(
    "lie",
    [
        f"bytes 1-{CHUNK}/{SIZE}",
        f"bytes 0-{CHUNK}/{SIZE}",
        f"bytes 0-{CHUNK - 2}/{SIZE}",
        f"bytes 0-{CHUNK - 1}/*",
        "",
        "bytes 0-",
        f"items 0-{CHUNK - 1}/{SIZE}",
        f"bytes -1-{CHUNK}/{SIZE}",
    ],
)
def test_range_that_lies_is_not_believed(server, download, lie):
    server.routes["/a"] = ranged(before=[Answer(206, BODY[:CHUNK], {"Content-Range": lie})] * 40)
    download.gives_the_file(connections=1)
    assert "sends other parts than were asked for: it is fetched in one stream" in download.logs[0]


@pytest.mark.parametrize("length", [CHUNK - 1, CHUNK + 1], ids=["short", "long"])
def test_body_of_another_length_than_its_range_is_not_believed(server, download, length):
    lie = Answer(206, BODY[:length], {"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"})
    server.routes["/a"] = ranged(before=[lie] * 40)
    download.gives_the_file(connections=1)
    assert "fetched in one stream" in download.logs[0]


def test_body_that_goes_on_after_its_range_is_not_believed(server, download):
    lie = Answer(206, BODY[: CHUNK + 1], {"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"}, length=-1)
    server.routes["/a"] = ranged(before=[lie] * 40)
    download.gives_the_file(connections=1)
    assert "sends more than was asked for" in download.logs[0]


def test_416_to_the_first_request_gives_a_plain_stream(server, download):
    server.routes["/a"] = lambda seen: Answer(416) if seen.range else FILE
    download.gives_the_file()


@pytest.mark.parametrize(
    "fault", [Answer(416), Answer(206, BODY[:CHUNK], {"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE - 1}"})], ids=str
)
def test_size_that_changes_in_the_middle_starts_over_once(server, download, fault):
    server.routes["/a"] = ranged(before=[fault])
    download.gives_the_file()
    assert "the server gave it another size" in download.logs[0]


def test_file_that_changes_once_is_fetched_anew(server, download):
    """If-Range answers 200 with the new file."""
    answers = []

    def changing(seen):
        answers.append(seen)
        old = Answer(body=OTHER, headers={"ETag": '"old"'})
        return part_of(old if len(answers) < 6 else FILE, seen)

    server.routes["/a"] = changing
    download.gives_the_file()
    assert download.logs == [
        "the file: the server changed it while it was fetched: it is fetched anew from the beginning"
    ]


def test_file_that_always_changes_ends_in_a_sentence(server, download):
    def changing(seen):
        return part_of(Answer(body=BODY, headers={"ETag": f'"{len(server.seen)}"'}), seen)

    server.routes["/a"] = changing
    download.fails("the server changed it while it was fetched, and again after a new start")


def test_weak_etag_is_compared_and_not_sent(server, download):
    server.routes["/a"] = ranged(Answer(body=BODY, headers={"ETag": 'W/"one"'}))
    download.gives_the_file()
    assert not any("if-range" in seen.headers for seen in server.seen)


def test_compressed_answer_is_refused(server, download):
    server.routes["/a"] = Answer(body=BODY, headers={"Content-Encoding": "gzip"})
    download.fails("sends the file compressed")


@pytest.mark.parametrize(("status", "sentence"), [(404, "no such file"), (410, "no such file"), (418, "status 418")])
def test_other_answers_are_final(server, download, status, sentence):
    server.routes["/a"] = Answer(status)
    download.fails(sentence)
    assert len(server.seen) == 1


def test_other_size_is_refused_before_a_byte_is_kept(server, download):
    server.routes["/a"] = ranged()
    download.fails(f"127.0.0.1 has {SIZE} bytes instead of {SIZE + 1}", size=SIZE + 1)
    assert not download.part.exists()


def test_other_content_is_refused_and_nothing_is_kept(server, download):
    server.routes["/a"] = ranged(Answer(body=OTHER))
    download.fails(f"instead of {DIGEST}")
    assert not download.part.exists()
    assert not download.journal.exists()
    assert sum(download.progress) == 0
