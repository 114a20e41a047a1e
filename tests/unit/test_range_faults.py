"""A ranged download from a server that misbehaves: each fault ends in the right file or in one clear sentence."""

import os
import threading
import time
from dataclasses import replace

import pytest

from easel.errors import InputError
from easel.weights.download.chunks import MAX_LEAD, ChunkQueue
from easel.weights.download.fetch import Address, Limits
from easel.weights.download.threads import Stopped, ThreadGroup
from tests.support.fault_server import Answer, part_of, wait_until
from tests.support.range_download import BODY, CHUNK, DIGEST, FILE, QUICK, SIZE, chunks_asked, own_threads, ranged

pytestmark = pytest.mark.slow

OTHER = os.urandom(SIZE)


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


def test_expired_address_is_asked_for_again(server, download):
    """A signed address goes 403 after a few requests; each new one serves a few more."""
    resolved, asked = [], {}

    def signed(seen):
        asked[seen.path] = asked.get(seen.path, 0) + 1
        return part_of(FILE, seen) if asked[seen.path] <= 6 else Answer(403)

    def resolve():
        path = f"/a?signature={len(resolved)}"
        server.routes[path] = signed
        resolved.append(path)
        return Address(server.url + path)

    download.gives_the_file(resolve=resolve)
    assert 3 <= len(resolved) <= 6
    assert download.logs == []


@pytest.mark.parametrize("status", [401, 403])
def test_lasting_refusal_speaks_of_the_token_and_the_address(server, download, status):
    server.routes["/a"] = Answer(status)
    download.fails(f"127.0.0.1 refuses it (status {status}). If the file is private or gated, give a token")
    assert len(server.seen) == 1 + QUICK.renewals


def test_error_of_resolve_is_passed_on(download):
    def resolve():
        raise InputError("no such thing")

    download.fails("no such thing", InputError, resolve=resolve)


def test_error_of_resolve_in_the_middle_ends_all_threads(server, download):
    calls = []

    def resolve():
        calls.append(1)
        if len(calls) == 2:
            raise InputError("no such thing any more")
        return Address(server.url + "/a")

    server.routes["/a"] = ranged(before=[Answer(403)])
    download.fails("no such thing any more", InputError, resolve=resolve)


def test_server_that_allows_two_connections_gets_two(server, download):
    """The others are answered 503, for ever."""
    server.most_at_once = 2
    server.routes["/a"] = ranged()
    limits = Limits(retries=3, backoff_s=0.01, max_wait_s=0.1, chunk_bytes=CHUNK // 4)
    download.gives_the_file(connections=8, limits=limits)
    assert server.peak == 2
    assert "goes on with fewer connections" in "".join(download.logs)


def test_finished_download_does_not_wait_for_a_connection_that_waits(server, download):
    server.routes["/a"] = ranged(before=[Answer(503, headers={"Retry-After": "3600"})])
    download.gives_the_file(limits=Limits(chunk_bytes=CHUNK, max_wait_s=3600))
    assert "follows in 3600 s" in download.logs[0]


def test_late_first_chunk_keeps_no_other_one_back(server, download):
    """Not even where more of them wait for the digest than may wait when it is only slow."""
    size = CHUNK // 8
    asked, all_asked = set(), threading.Event()

    def answer(seen):
        asked.add(seen.range)
        if len(asked) == 1 + -(-SIZE // size):
            all_asked.set()
        return part_of(replace(FILE, hold=all_asked) if seen.range == (0, size - 1) else FILE, seen)

    server.routes["/a"] = answer
    download.gives_the_file(limits=Limits(chunk_bytes=size))
    assert len(asked) - 1 > 2 * MAX_LEAD
    assert download.logs == []


@pytest.mark.parametrize("at_work_on", [0, 1])
def test_connections_run_only_so_far_ahead_of_a_digest_that_is_at_work(at_work_on):
    group = ThreadGroup(lambda: None)
    queue = ChunkQueue(group, size=MAX_LEAD + 2, chunk_bytes=1, on_disk=frozenset())
    claimed = [queue.claim() for _ in range(MAX_LEAD + 1)]
    for chunk in claimed[: at_work_on + 1]:
        queue.finish(chunk)
        queue.wait_for(chunk)
    group.stop()  # so that what would wait raises
    if at_work_on == 0:
        with pytest.raises(Stopped):
            queue.claim()
    else:
        assert queue.claim().number == MAX_LEAD + 1


def test_thread_that_comes_late_writes_nothing():
    group = ThreadGroup(lambda: None)
    release, written = threading.Event(), []

    def late():
        release.wait(30)  # as if in the network
        with group.exclusive():
            written.append(1)

    def fail():
        raise InputError("no")

    with pytest.raises(InputError):
        group.run(late, fail)
    release.set()
    wait_until(lambda: not own_threads())
    assert written == []
