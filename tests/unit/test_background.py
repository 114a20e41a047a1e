"""A test run that a shell starts in the background has SIGINT ignored, and so would all that it starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = "tests/unit/test_background.py::test_an_interrupt_strikes"
HANGS = "import threading\n\n\ndef test_hangs():\n    threading.Event().wait()\n\n\ndef test_next():\n    pass\n"


def pytest_in_background(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_interrupt_strikes():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_strikes_in_the_background_too():
    done = pytest_in_background(INTERRUPTED)
    assert "1 passed" in done.stdout, done.stdout


def test_a_test_that_hangs_fails_and_the_next_one_runs(tmp_path):
    (tmp_path / "test_it.py").write_text(HANGS)
    done = pytest_in_background(
        "--config-file", str(ROOT / "pyproject.toml"), "-o", "timeout=1", "test_it.py", folder=tmp_path
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "Timeout" in done.stdout


SKIPPED = """
import pytest


@pytest.mark.parametrize("reason", ["nginx is not here", "no CUDA device here", "needs a Docker engine: none runs"])
def test_it(reason):
    pytest.skip(reason)
"""
NOT_COLLECTED = 'import pytest\n\npytest.importorskip("a_library_that_is_not_there", reason="not installed")\n'


@pytest.mark.parametrize(("required", "found"), [("", "4 skipped"), ("1", "1 failed, 2 skipped, 1 error")])
def test_where_all_is_required_a_skip_fails_unless_a_gpu_or_docker_is_missing(tmp_path, required, found):
    (tmp_path / "test_it.py").write_text(SKIPPED)
    (tmp_path / "test_other.py").write_text(NOT_COLLECTED)
    arguments = ["-p", "tests.support.require_all", "--continue-on-collection-errors"]
    done = pytest_in_background(*arguments, folder=tmp_path, EASEL_REQUIRE_ALL=required)
    assert found in done.stdout, done.stdout


def test_every_test_has_a_limit_in_time(request):
    assert 0 < float(request.config.getini("timeout")) <= 600
