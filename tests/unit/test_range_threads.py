"""Addresses that expire, and connections that wait for one another."""

import threading
from dataclasses import replace

import pytest

from easel.errors import InputError
from easel.weights.download.chunks import MAX_LEAD, ChunkQueue
from easel.weights.download.fetch import Address, Limits
from easel.weights.download.threads import Stopped, ThreadGroup
from tests.support.fault_server import Answer, part_of, wait_until
from tests.support.range_download import CHUNK, FILE, QUICK, SIZE, own_threads, ranged

pytestmark = pytest.mark.slow


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
