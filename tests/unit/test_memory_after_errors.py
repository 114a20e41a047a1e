"""What a refused picture leaves in memory: nothing, without waiting for the garbage collector."""

import gc
import weakref

import pytest

from easel.errors import InputError
from easel.image_files import refusals


class Pixels:
    pass


def fails(found: list[weakref.ref]) -> None:
    pixels = Pixels()
    found.append(weakref.ref(pixels))
    raise OSError("pixels are missing")


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


def test_the_pixels_of_a_damaged_file_are_freed_with_its_error(no_collector):
    found = []
    try:
        with refusals("image", "JPEG"):
            fails(found)
    except InputError as error:
        assert "damaged (pixels are missing)" in str(error)  # noqa: PT017
    assert found[0]() is None
