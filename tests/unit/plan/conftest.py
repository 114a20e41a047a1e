"""Fixtures that the tests here share."""

import pytest


@pytest.fixture
def image(tmp_path):
    """The name of a file that is not there: to plan reads none."""
    return tmp_path / "image.png"
