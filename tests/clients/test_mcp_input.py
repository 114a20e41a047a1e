"""`easel mcp` over standard input and output: how it ends, and what a client can do to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from easel.api.mcp_transports import MOST_BODY
from tests.clients.test_mcp import COMMAND, environment

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def started(api):
    command, pipe = [sys.executable, *COMMAND], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(api), bufsize=0)
    try:
        assert b"easel/emoji by" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


@pytest.mark.parametrize(("end", "code"), [("close", 0), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_when_it_is_told_to_and_prints_nothing_of_its_own(api, end, code):
    with started(api) as process:
        if end != "close":
            process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')  # answered, so that it is known to read
            assert process.stdout.readline().startswith(b'{"jsonrpc"')
            process.send_signal(end)
            assert process.wait(20) == code
        out, err = process.communicate(timeout=20)
        assert process.returncode == code
    assert all(line.startswith(b'{"jsonrpc"') for line in out.splitlines())
    assert b"Traceback" not in err


def test_it_ends_while_the_client_reads_nothing(api):
    with started(api) as process:
        with contextlib.suppress(BlockingIOError):  # it has stopped to read, since its own answers are not read
            os.set_blocking(process.stdin.fileno(), False)
            for k in range(100_000):
                process.stdin.write(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % k)
                process.stdin.flush()
                time.sleep(0.0001)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def test_a_line_without_end_is_refused_in_parts(api):
    with started(api) as process:
        process.stdin.write(b"[" * (MOST_BODY + 10) + b'\n{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        process.stdin.flush()
        assert any(json.loads(line).get("id") == 1 for line in process.stdout)
        process.stdin.close()
        assert process.wait(20) == 0
