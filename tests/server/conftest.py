"""A second server of the emoji model, which may do more than users' own may."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.local.server import Server
from tests.support.serving import serving


@pytest.fixture(scope="session")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of-the-open-server")


@pytest.fixture(scope="session")
def open_server(open_folder: Path) -> Iterator[Server]:
    """Takes LoRAs from files and from this machine's own web servers, and gives freed memory back at once."""
    allowed = {"EASEL_ALLOW_FILES": "1", "EASEL_ALLOW_LOOPBACK": "1"}
    # What stays resident is then in use, not kept by the allocator. Far lower limits cost 40 % more time.
    returned = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**20)}
    with serving(open_folder, **allowed, **returned) as server:
        yield server
