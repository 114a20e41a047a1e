"""Fixtures that the tests of data sets share."""

import pytest

from easel.errors import InputError
from tests.training.sets import Reader


@pytest.fixture
def read(tmp_path):
    return Reader(tmp_path)


@pytest.fixture
def refusal(read, tmp_path):
    """The sentence with which an archive's bytes are refused; checks that nothing was written and no line is odd."""

    def refusal(data, **options):
        with pytest.raises(InputError) as caught:
            read.bytes(data, **options)
        assert [path.name for path in tmp_path.iterdir()] == ["images"]
        assert all(line.isprintable() for line in str(caught.value).split("\n"))
        return str(caught.value)

    return refusal
