"""Two servers of the emoji model for all modules here: to start one takes longer than most of what is asked of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from easel.server import Server, run_server
from tests.server.calls import REPOSITORY


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server as users have it keeps its files: `tmp` and `cache`."""
    return tmp_path_factory.mktemp("of-the-server")


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[Server]:
    """As users have it."""
    with serving(server_folder) as server:
        yield server


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


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    (folder / "tmp").mkdir()
    places = {"TMPDIR": str(folder / "tmp"), "EASEL_CACHE_DIR": str(folder / "cache")}
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (places | environment).items():
                patch.setenv(name, value)
            server = stack.enter_context(run_server(REPOSITORY, timeout=120))
        yield server
