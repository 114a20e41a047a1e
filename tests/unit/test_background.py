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


def pytest_in_background(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
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


def test_every_test_has_a_limit_in_time(request):
    assert 0 < float(request.config.getini("timeout")) <= 600
