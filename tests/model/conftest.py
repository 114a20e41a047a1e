"""The emoji model, loaded once: as users have it, and with small layers where its images do not matter."""

import io
import os
from collections.abc import Callable, Sequence

import pytest
import torch

from easel.inference.loader import Components
from easel.inference.pipeline import Timings, run_plan
from easel.lora.adapter import Adapter, Pair
from easel.plan import plan_request
from easel.request import Request
from tests.support.loading import load_folder
from tests.support.small_emoji import EMOJI, small_emoji

# Two threads in each of three processes on two cores spin for one another: an image took 40 times as long.
assert "PYTEST_XDIST_WORKER" not in os.environ or torch.get_num_threads() == 1, "see tests/conftest.py"


@pytest.fixture(scope="session")
def emoji() -> Components:
    """As users have it: for what its images show. One takes a second or more."""
    return load_folder(EMOJI)


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    """With small layers and random numbers: for what must hold of any model. An image takes milliseconds."""
    return load_folder(small_emoji(tmp_path_factory.mktemp("small") / "emoji"))


@pytest.fixture
def pixels(components: Components) -> Callable[..., list[bytes]]:
    """Runs a request, given as its inputs, and returns the raw pixels of its images."""

    def run(prompt: str, **inputs: object) -> list[bytes]:
        plan = plan_request(Request(prompt, **inputs), components.model)
        return [image.tobytes() for image in run_plan(plan, components, Timings(), log=io.StringIO())]

    return run


@pytest.fixture
def draw_small() -> Callable[..., list[bytes]]:
    """Runs a small request on the components it is given, and returns the raw pixels of its images."""

    def run(
        components: Components, prompt: str, adapters: Sequence[tuple[Adapter, float]] = (), **inputs
    ) -> list[bytes]:
        small = {"seed": 3, "width": 64, "height": 64, "num_inference_steps": 2}
        plan = plan_request(Request(**{"prompt": prompt, **small, **inputs}), components.model)
        images = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO())
        return [image.tobytes() for image in images]

    return run


@pytest.fixture
def lora_of() -> Callable[[Components], Adapter]:
    """Makes a LoRA for the attention layers of some components that changes the image much."""

    def make(components: Components) -> Adapter:
        random = torch.Generator().manual_seed(0)
        pairs = {}
        for name, layer in components.transformer.linears.items():
            if name.startswith("layers.") and ".to_" in name:
                shapes = (4, layer.in_features), (layer.out_features, 4)
                down, up = (torch.randn(shape, generator=random).to(components.transformer.dtype) for shape in shapes)
                pairs[name] = Pair(down * 0.06, up * 0.06, 1.5)
        return Adapter("lora", pairs)

    return make
