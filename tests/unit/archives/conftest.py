"""Fixtures that the tests here share."""

import pytest

from easel.errors import AdapterError
from easel.lora.archives import unpack_safetensors
from tests.unit.archives.common import MB


@pytest.fixture
def unpack(tmp_path):
    def unpack(data, max_bytes=MB):
        archive, folder = tmp_path / "archive", tmp_path / "out"
        archive.write_bytes(data)
        folder.mkdir(exist_ok=True)
        return unpack_safetensors(archive, folder, max_bytes)

    return unpack


@pytest.fixture
def refusal(unpack, tmp_path):
    """The sentence with which an archive is refused; checks that nothing of it stays."""

    def refusal(data, max_bytes=MB):
        with pytest.raises(AdapterError) as caught:
            unpack(data, max_bytes)
        assert list((tmp_path / "out").iterdir()) == []
        assert str(caught.value).isprintable()
        return str(caught.value)

    return refusal
