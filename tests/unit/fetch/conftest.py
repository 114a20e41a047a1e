"""Fixtures that the tests here share."""

import pytest

from easel.errors import FetchError
from easel.net.fetch import fetch
from tests.support.fault_server import FaultServer
from tests.unit.fetch.common import QUICK


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def logs():
    return []


@pytest.fixture
def get(server, tmp_path, logs):
    """Fetch a path of the server (or a URL) to tmp_path/file."""

    def get(path, network=QUICK, **options):
        url = path if "://" in path else server.url + path
        return fetch(url, tmp_path / "file", label="the file", log=logs.append, network=network, **options)

    return get


@pytest.fixture
def refusal(get, tmp_path):
    """The sentence with which a fetch ends; checks that it leaves no file."""

    def refusal(path, **options):
        with pytest.raises(FetchError) as caught:
            get(path, **options)
        assert list(tmp_path.iterdir()) == []
        assert str(caught.value).isprintable()
        return str(caught.value)

    return refusal
