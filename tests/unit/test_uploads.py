"""A process's own temporary folder, emptied of what earlier requests left."""

import tempfile
from pathlib import Path

import pytest

from easel.inference.temp_files import Uploads


@pytest.fixture
def uploads(monkeypatch) -> Uploads:
    monkeypatch.setattr(tempfile, "tempdir", None)  # put back afterwards
    with_folder = Uploads()
    yield with_folder
    with_folder.root.cleanup()


def upload() -> Path:
    """As Cog writes one."""
    with tempfile.NamedTemporaryFile(suffix="file.png", delete=False) as file:
        return Path(file.name)


def test_all_but_the_files_of_the_present_request_go(uploads):
    left, image, mask = upload(), upload(), upload()
    assert left.parent == Path(uploads.root.name)
    uploads.clear(keep=(image, mask))
    assert not left.exists()
    assert image.exists()
    assert mask.exists()
    uploads.clear(keep=(None, None))
    assert list(Path(uploads.root.name).iterdir()) == []


def test_folders_stay_since_libraries_keep_things_in_them(uploads):
    folder = Path(tempfile.mkdtemp())
    uploads.clear(keep=())
    assert folder.is_dir()
