"""What several of the modules here begin with."""

import pytest

from tests.support.fault_server import FaultServer
from tests.support.range_download import Download


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def download(server, tmp_path):
    return Download(server, tmp_path)


@pytest.fixture
def write(tmp_path):
    def write(data, name="input"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write
