"""The emoji model on a CUDA device."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from easel.inference.pipeline import Timings, run_plan
from easel.inference.staging import BUFFER_BYTES, StagedCopy
from easel.plan import plan_request
from easel.request import Request
from tests.support.loading import load_folder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: not run on a GPU")

EMOJI = Path(__file__).resolve().parents[2] / "weights" / "emoji"


def pictures(device: str) -> list[np.ndarray]:
    components = load_folder(EMOJI, device)
    plan = plan_request(Request("a red apple", seed=7, num_outputs=2), components.model)
    return [np.asarray(image, dtype=float) for image in run_plan(plan, components, Timings(), log=io.StringIO())]


def test_a_seed_gives_the_same_pictures_twice_and_nearly_those_of_the_cpu():
    first, second, on_cpu = pictures("cuda"), pictures("cuda"), pictures("cpu")
    assert np.array_equal(first, second)
    assert np.abs(np.subtract(first, on_cpu)).mean() < 2  # of 255


@pytest.mark.parametrize("buffer_bytes", [1000, BUFFER_BYTES])
def test_what_is_copied_through_pinned_buffers_arrives_whole(buffer_bytes):
    staged = StagedCopy(torch.device("cuda"), buffer_bytes)
    tensors = [torch.randn(side, 1000) for side in (1, 300, 2000)]
    copies = [staged.copy(tensor) for tensor in tensors]
    staged.finish()
    assert all(torch.equal(copy.cpu(), tensor) for copy, tensor in zip(copies, tensors, strict=True))


def test_every_parameter_on_the_device_is_the_one_of_the_file():
    on_device, on_cpu = (load_folder(EMOJI, device).modules for device in ("cuda", "cpu"))
    for part in ("transformer", "text_encoder", "vae"):
        expected = on_cpu[part].state_dict()
        found = on_device[part].state_dict()
        assert found.keys() == expected.keys()
        assert all(found[name].is_cuda and torch.equal(found[name].cpu(), expected[name]) for name in expected)
