"""What a refused image, or a request without enough memory, leaves behind: nothing for the garbage collector."""

import gc
import weakref
from contextlib import AbstractContextManager
from types import SimpleNamespace

import pytest

from easel.errors import InputError, ResourceError
from easel.images.decode import refusals
from easel.inference.engine import Engine
from easel.inference.memory import Memory
from easel.models import load_model
from easel.plan import plan_request
from easel.request import Request
from tests.server.calls import REPOSITORY


class Pixels:
    """Something large that a frame holds."""


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


def is_freed(guarded: AbstractContextManager, error: Exception, said: str) -> bool:
    found = []

    def fails() -> None:
        pixels = Pixels()
        found.append(weakref.ref(pixels))
        raise error

    try:
        with guarded:
            fails()
    except (InputError, ResourceError) as refusal:
        assert said in str(refusal)  # noqa: PT017
    return found[0]() is None


def test_the_pixels_of_a_damaged_file_are_freed_with_its_error(no_collector):
    assert is_freed(refusals("image", "JPEG"), OSError("pixels are missing"), "damaged (pixels are missing)")


def test_the_tensors_of_a_request_without_enough_memory_are_freed_with_its_error(no_collector):
    model = load_model(REPOSITORY / "weights" / "emoji")
    components = SimpleNamespace(model=model, memory=Memory("resident"), transformer=SimpleNamespace(device="cpu"))
    engine = Engine(components, None)
    guarded = engine.convert_out_of_memory(plan_request(Request("dog"), model))
    with engine.outputs.root:  # removed at the end
        assert is_freed(guarded, MemoryError(), "Out of memory at 128 x 128")
