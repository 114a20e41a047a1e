"""EASEL_REQUIRE_ALL=1: a test that is skipped fails, so that nothing is left out where nobody looks."""

import os
import re
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
MAY_BE_MISSING = re.compile(r"no CUDA device|a Docker engine|the command docker|the image |EASEL_AIPERF")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return refuse_skip((yield))


def refuse_skip(report: Report) -> Report:
    """Return the report, failed if it was skipped for want of anything but a GPU, Docker or aiperf."""
    if os.environ.get("EASEL_REQUIRE_ALL") == "1" and report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not MAY_BE_MISSING.search(reason):
            report.outcome, report.longrepr = "failed", f"EASEL_REQUIRE_ALL=1, and this was skipped: {reason}"
    return report
