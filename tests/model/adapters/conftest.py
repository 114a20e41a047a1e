"""Fixtures that the tests here share."""

import io

import pytest

from easel.inference.pipeline import Timings, run_plan
from easel.lora.adapter import Adapter
from easel.plan import plan_request
from easel.request import Request
from tests.model.adapters.common import SMALL
from tests.support.lora_files import peft_tensors


@pytest.fixture(scope="module")
def base(components):
    return components.transformer.module


@pytest.fixture(scope="module")
def tensors(base):
    return peft_tensors(base)


@pytest.fixture
def picture(components):
    """The pixels of one small image with these LoRAs."""

    def make(*adapters: tuple[Adapter, float], **inputs) -> bytes:
        request = Request(**{"prompt": "red apple", **SMALL, **inputs})
        plan = plan_request(request, components.model)
        (image,) = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO())
        return image.tobytes()

    return make
