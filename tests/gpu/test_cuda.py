"""The emoji model on a CUDA device."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from easel.loader import load_components
from easel.models import load_model
from easel.pipeline import Timings, run_plan
from easel.plan import plan_request
from easel.request import Request

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: not run on a GPU")

EMOJI = Path(__file__).resolve().parents[2] / "weights" / "emoji"


def pictures(device: str) -> list[np.ndarray]:
    components = load_components(load_model(EMOJI), device)
    plan = plan_request(Request("a red apple", seed=7, num_outputs=2), components.model)
    return [np.asarray(image, dtype=float) for image in run_plan(plan, components, Timings(), log=io.StringIO())]


def test_a_seed_gives_the_same_pictures_twice_and_nearly_those_of_the_cpu():
    first, second, on_cpu = pictures("cuda"), pictures("cuda"), pictures("cpu")
    assert np.array_equal(first, second)
    assert np.abs(np.subtract(first, on_cpu)).mean() < 2  # of 255
