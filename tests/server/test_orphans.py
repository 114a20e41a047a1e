"""A server of ours does not outlive the command that started it, even if that one is killed."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.api.conftest import RUNNER


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has gone")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_cog_server_ends_with_the_command(number):
    command = [sys.executable, "-m", "easel.cli", "serve", "--root", str(RUNNER), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        os.kill(process.pid, number)
        process.wait(10)
    until = time.monotonic() + 10
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < until
        time.sleep(0.05)
