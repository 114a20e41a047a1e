"""Where input files are converted: in the thread that asks, so that no cancel can be lost."""

import concurrent.futures
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from easel.input_files import InputExecutor, convert_in_place

seen = []


@contextmanager
def watched() -> Iterator[None]:
    seen.append("watched")
    yield
    seen.append("over")


@pytest.fixture(autouse=True)
def in_place(monkeypatch):
    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", concurrent.futures.ThreadPoolExecutor)
    monkeypatch.setattr(InputExecutor, "watched", None, raising=False)
    seen.clear()
    convert_in_place(watched)


def convert() -> threading.Thread:
    seen.append("converts")
    return threading.current_thread()


convert.__module__ = "cog.types"


def test_a_conversion_runs_in_the_callers_thread_and_starts_none():
    executor = concurrent.futures.ThreadPoolExecutor(8)
    before = threading.active_count()
    future = executor.submit(convert)
    assert threading.active_count() == before
    assert concurrent.futures.wait([future]).not_done == set()
    assert future.result() is threading.current_thread()
    assert seen == ["watched", "converts", "over"]
    executor.shutdown()


def test_what_a_conversion_raises_is_raised_at_once():
    def fails() -> None:
        raise SystemExit  # no Exception, like Cog's cancel

    fails.__module__ = "cog.types"
    with concurrent.futures.ThreadPoolExecutor(8) as executor, pytest.raises(SystemExit):
        executor.submit(fails)


def test_all_else_still_has_threads():
    """Libraries use executors as well, and Cog for its healthcheck."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert executor.submit(threading.current_thread).result() is not threading.current_thread()
        assert list(executor.map(str, [1, 2])) == ["1", "2"]
    assert seen == []
