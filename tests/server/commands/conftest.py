"""Fixtures that the tests here share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.commands.common import RUNNER, TIMEOUT_S, descendants, start, still_alive


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "predict.py").write_text(RUNNER)
    return folder


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[str]:
    """The URL of one server for the tests that need none of their own, started and stopped by `easel serve`."""
    with start("serve", "--root", root, "--port", 0) as process:
        url = process.stdout.readline().strip()
        children = descendants(process.pid)
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    assert len(children) == 2
    assert still_alive(children) == []
