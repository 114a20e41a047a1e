"""The emoji model, loaded once: the tests below run the same code and weights that a user runs."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from easel.inference.loader import Components
from easel.inference.pipeline import Timings, run_plan
from easel.plan import plan_request
from easel.request import Request
from tests.support.loading import load_folder

EMOJI = Path(__file__).resolve().parents[2] / "weights" / "emoji"


@pytest.fixture(scope="session")
def components() -> Components:
    return load_folder(EMOJI)


@pytest.fixture
def pixels(components: Components) -> Callable[..., list[bytes]]:
    """Runs a request, given as its inputs, and returns the raw pixels of its images."""

    def run(prompt: str, **inputs: object) -> list[bytes]:
        plan = plan_request(Request(prompt, **inputs), components.model)
        return [image.tobytes() for image in run_plan(plan, components, Timings(), log=io.StringIO())]

    return run
