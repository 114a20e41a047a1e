"""Fixtures that the tests here share."""

from collections.abc import Iterator

import pytest

from easel.local.guard import guarded
from easel.local.server import bind
from tests.unit.local_guard.common import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    with upstream.listener:
        yield upstream


@pytest.fixture
def front(upstream) -> Iterator[int]:
    """The guard's port."""
    with bind("127.0.0.1", 0) as listener, guarded(listener, upstream.place) as url:
        yield int(url.rpartition(":")[2])
