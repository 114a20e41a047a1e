"""Weights that are mounted are used in place."""

import io
import os
from pathlib import Path

import pytest

from easel.errors import WeightsError
from easel.models import load_model
from easel.weights.reading import start_reading
from easel.weights.store import WeightPaths
from easel.weights.verify import verify_model
from tests.support.model_folders import digest, entry, write_model
from tests.support.verify import verify_files
from tests.unit.store.common import FILES, names, put

pytestmark = pytest.mark.slow


def mounted_model(tmp_path):
    """Its sources lead nowhere, so whatever is there comes from the mounted folder."""
    repo = f"hf://owner/name@{40 * 'a'}"
    entries = [
        entry("vae/model.safetensors", b"vae", f"{repo}/split_files/vae/ae.safetensors"),
        entry("vae/config.json", b"{}", f"{repo}/vae/config.json", size=None, digest=digest(b"{}", "md5")),
        entry("transformer/model.safetensors", b"transformer", "https://files.invalid/transformer"),
    ]
    return load_model(write_model(tmp_path, "tiny", entries, {"model_index.json": b"{}"}))


@pytest.mark.parametrize(
    "layout",
    [
        ("vae/model.safetensors", "vae/config.json", "transformer/model.safetensors"),
        ("tiny/vae/model.safetensors", "tiny/vae/config.json", "tiny/transformer/model.safetensors"),
        ("split_files/vae/ae.safetensors", "vae/config.json", "transformer/model.safetensors"),
    ],
)
def test_a_mounted_folder_is_used_in_place(tmp_path, paths, get, layout):
    model, mount = mounted_model(tmp_path), tmp_path / "mount"
    put(mount, dict(zip(layout, (b"vae", b"{}", b"transformer"), strict=True)) | {"README.md": b"about"})
    snapshot = get(model, WeightPaths(paths.cache, mount))
    assert snapshot.unverified
    verify_files(snapshot.manifest, snapshot.folder)
    assert (snapshot.folder / "vae/model.safetensors").samefile(mount / layout[0])
    assert not paths.cache.exists()
    assert get.lines == [f"weights: 3 of 3 files are used in place in {mount}"]


def test_a_mounted_file_of_a_wrong_size_is_an_error(tmp_path, paths, get):
    model, mount = mounted_model(tmp_path), tmp_path / "mount"
    put(mount, {"vae/model.safetensors": b"vae of another"})
    with pytest.raises(WeightsError) as caught:
        get(model, WeightPaths(paths.cache, mount))
    assert str(caught.value).startswith(f"{mount}/vae/model.safetensors has 14 bytes instead of the 3 of tiny's")


def test_what_is_not_mounted_comes_from_the_store(model, tmp_path, paths, get):
    mount = tmp_path / "mount"
    put(mount, {"vae/config.json": FILES["vae/config.json"]})
    snapshot = get(model, WeightPaths(paths.cache, mount))
    assert snapshot.unverified
    verify_files(snapshot.manifest, snapshot.folder)
    assert get.lines[0] == f"weights: 1 of 3 files are used in place in {mount}"
    assert get.lines[1] == (
        f"weights: {mount} does not have transformer/model.safetensors, vae/empty; looking in {paths.cache}"
    )
    assert len(names(paths.cache / "blobs")) == 2


def test_an_empty_mounted_folder_is_as_good_as_none(model, tmp_path, paths, get):
    (tmp_path / "mount").mkdir()
    assert get(model, WeightPaths(paths.cache, tmp_path / "mount")).unverified is None
    assert get.lines[0] == f"weights: {tmp_path}/mount does not have any of the files; looking in {paths.cache}"


def test_a_mounted_folder_that_does_not_exist_is_said_and_passed_over(model, tmp_path, paths, get):
    assert get(model, WeightPaths(paths.cache, tmp_path / "mount")).unverified is None
    assert get.lines[0].startswith(f"weights: there is no folder {tmp_path}/mount (EASEL_WEIGHTS_DIR)")


def test_places_are_read_from_the_environment():
    home = Path.home() / ".cache" / "easel"
    assert WeightPaths.from_environ({}) == WeightPaths(home, None)
    assert WeightPaths.from_environ({"XDG_CACHE_HOME": "/x"}) == WeightPaths(Path("/x/easel"), None)
    both = {"XDG_CACHE_HOME": "/x", "EASEL_CACHE_DIR": "/c", "EASEL_WEIGHTS_DIR": "/weights"}
    assert WeightPaths.from_environ(both) == WeightPaths(Path("/c"), Path("/weights"))
    assert WeightPaths.from_environ({"EASEL_CACHE_DIR": "", "EASEL_WEIGHTS_DIR": ""}) == WeightPaths(home, None)
    assert WeightPaths.from_environ({"EASEL_CACHE_DIR": "c"}).cache == Path("c").absolute()


def test_a_mounted_file_is_hashed_once_and_what_hides_its_change_is_found_by_verify(tmp_path, paths, get):
    """Same size and time, other bytes: a start trusts its record, `easel weights verify` does not."""
    model, mount = mounted_model(tmp_path), tmp_path / "mount"
    put(
        mount,
        {"vae/model.safetensors": b"vae", "vae/config.json": b"{}", "transformer/model.safetensors": b"transformer"},
    )
    paths = WeightPaths(paths.cache, mount)
    start_reading(get(model, paths)).wait()
    changed = mount / "vae/model.safetensors"
    before = changed.stat()
    changed.write_bytes(b"vea")
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    start_reading(get(model, paths)).wait()
    (problem,) = verify_model(model, paths, io.StringIO())
    assert problem.startswith("vae/model.safetensors has")
    assert str(changed) in problem
    with pytest.raises(WeightsError, match=r"vae/model\.safetensors has digest"):
        start_reading(get(model, paths)).wait()
