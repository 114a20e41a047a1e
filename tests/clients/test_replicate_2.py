"""The pre-release of version 2 of Replicate's Python client: each function of cases_2.py."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.clients.cases import HERE, REPLICATE_2, TIMEOUT_S, case_environment, cases
from tests.server.calls import REPOSITORY

pytestmark = pytest.mark.skipif(
    not REPLICATE_2.is_dir(), reason="replicate 2.0.0b4 is not in .venv/replicate-2: run script/setup"
)


@pytest.fixture(scope="module")
def program(api, version, picture) -> Iterator[subprocess.Popen]:
    """One process for all cases: to import this client takes longer than most of them."""
    environment = case_environment(api, version, picture, PYTHONPATH=f"{REPLICATE_2}:{REPOSITORY}")
    command = [sys.executable, HERE / "cases_2.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize("case", cases("cases_2.py"))
def test_version_2(program, case):
    killer = threading.Timer(TIMEOUT_S, program.kill)
    killer.start()
    print(case, file=program.stdin, flush=True)
    problem = program.stdout.readline()
    killer.cancel()
    assert problem == "null\n", json.loads(problem or '"It took too long, or its process ended."')
