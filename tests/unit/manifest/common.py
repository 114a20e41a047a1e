"""What the tests of the manifest share."""

import pytest

from easel.errors import WeightsError

TENSORS = b"tensors " * 1000


EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes at all


def refusal(function, *arguments):
    with pytest.raises(WeightsError) as caught:
        function(*arguments)
    return str(caught.value)
