"""No test reaches the Hub: those that talk to one set up a stand-in, in processes of their own.

One server of the emoji model serves all folders: to start one takes longer than most of what is asked of it.
"""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.local.server import Server
from tests.support.serving import serving

pytest_plugins = ["tests.support.require_all"]

# Until all tests are collected: most of what is made meanwhile stays, and the search for the rest takes a third of
# that time.
gc.disable()
# Here and not in pytest_configure: pytest loads the conftest.py of a folder that it is given before that, and some
# import torch.
os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported, which reads it then
if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes share the cores: threads of theirs that wait for one another by spinning would take most.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # before torch is imported

TESTS = Path(__file__).parent
# What waits longest, for the network, and then the folders with the longest files, so that no process is left alone
# with one.
FIRST = TESTS / "clients/test_wrappers.py"
ORDER = (
    "gpu",
    "model",
    "on_modal",
    "training",
    "publish",
    "server",
    "clients",
    "page",
    "api",
    "platforms",
    "unit",
    "contract",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        if item.path == FIRST:
            return -1
        folder = item.path.relative_to(TESTS).parts[0]
        return ORDER.index(folder) if folder in ORDER else len(ORDER)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts its background jobs so, and all that they start inherits it: bash could not even trap it.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server as users have it keeps its files: `tmp` and `cache`."""
    return tmp_path_factory.mktemp("of-the-server")


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[Server]:
    """As users have it."""
    with serving(server_folder) as server:
        yield server
