"""The pre-release of version 2 of Replicate's Python client: each function of cases_2.py, in a process of its own."""

import sys

import pytest

from tests.clients.cases import REPLICATE_2, cases, run_case
from tests.server.calls import REPOSITORY

pytestmark = pytest.mark.skipif(
    not REPLICATE_2.is_dir(), reason="replicate 2.0.0b4 is not in .venv/replicate-2: run script/setup"
)


@pytest.mark.parametrize("case", cases("cases_2.py"))
def test_version_2(api, version, picture, case):
    path = f"{REPLICATE_2}:{REPOSITORY}"
    run_case([sys.executable, "cases_2.py", case], api, version, picture, PYTHONPATH=path)
