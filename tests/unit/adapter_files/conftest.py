"""Fixtures that the tests here share."""

import pytest

from easel.lora.files import AdapterFiles
from easel.lora.sites import Endpoints
from tests.support.fault_server import FaultServer
from tests.unit.adapter_files.common import NETWORK, NOBODY, Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "adapters"


@pytest.fixture
def make_files(server, folder, clock):
    def make_files(**options):
        defaults = {"allow_loopback": True, "network": NETWORK, "clock": clock}
        endpoints = Endpoints(
            hf=server.url, civitai=f"http://localhost:{server.port}/civitai", replicate=f"{server.url}/replicate"
        )
        return AdapterFiles(folder, **{**defaults, "endpoints": endpoints, **options})

    return make_files


@pytest.fixture
def logs():
    return []


@pytest.fixture
def get(make_files, logs):
    files = make_files()
    return lambda reference, tokens=NOBODY: files.get(reference, tokens, logs.append)
