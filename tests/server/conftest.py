"""A second server, which may do more than users' own may, of a small emoji model: its images do not matter."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.local.server import Server
from tests.support.serving import serving
from tests.support.small_emoji import small_repository


@pytest.fixture(scope="session")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of-the-open-server")


@pytest.fixture(scope="session")
def open_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_repository(tmp_path_factory.mktemp("repository-of-the-open-server"))


@pytest.fixture(scope="session")
def open_server(open_folder: Path, open_root: Path) -> Iterator[Server]:
    """Takes LoRAs from files and from this machine's own web servers."""
    with serving(open_folder, open_root, EASEL_ALLOW_FILES="1", EASEL_ALLOW_LOOPBACK="1") as server:
        yield server
