"""Files that appear whole or not at all, and the lock of the only process."""

import stat

import pytest

from easel.errors import InputError, ResourceError
from easel.files import single_instance_lock, write_atomically


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_at_the_end_and_not_before(tmp_path, sync):
    path = tmp_path / "file"
    path.write_text("old")
    with write_atomically(path, sync=sync) as stream:
        stream.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    with write_atomically(path) as stream:
        stream.write(b"new")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_on_the_way_changes_nothing(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_its_owners_from_the_first_byte_on(tmp_path):
    with write_atomically(tmp_path / "secret", mode=0o600) as stream:
        stream.write(b"x")
        (unfinished,) = tmp_path.iterdir()
        assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def hold(path):
    with single_instance_lock(path, "busy"):
        pass


def test_a_second_one_is_refused_until_the_first_has_ended(tmp_path):
    with single_instance_lock(tmp_path / "lock", "busy"), pytest.raises(InputError, match="busy"):
        hold(tmp_path / "lock")
    hold(tmp_path / "lock")


def test_where_no_lock_can_be_had_that_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot be written"):
        hold(tmp_path / "file" / "lock")
