"""`ensure_snapshot`: files arrive in the store and in a folder of links."""

import re
import shutil
import stat
from pathlib import Path

import pytest

from easel.errors import FetchError, WeightsError
from easel.models import load_model
from easel.weights.manifest import read_manifest
from easel.weights.records import Records
from easel.weights.snapshots import ensure_snapshot, move_into_place
from easel.weights.store import WeightPaths
from tests.support.model_folders import WEIGHTS, digest, entry, local_model, write_lock, write_model
from tests.support.verify import verify_files
from tests.unit.store.common import FILES, names

pytestmark = pytest.mark.slow


def test_files_arrive_in_the_store_and_in_a_folder_of_links(model, paths, get):
    snapshot = get(model)
    assert snapshot.unverified is None
    assert snapshot.manifest == read_manifest(model.folder)
    assert snapshot.folder == paths.cache / "snapshots" / "tiny" / snapshot.manifest.digest[7:23]
    verify_files(snapshot.manifest, snapshot.folder)  # all are there, right, and no other
    assert names(paths.cache / "blobs") == {digest(data).replace(":", "-") for data in FILES.values()}
    for blob in (paths.cache / "blobs").iterdir():
        assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert re.match(r"100%\|.*\| 300k/300k \[", get.bar.getvalue().splitlines()[-1])
    assert get.lines[0] == f"weights: downloading 3 of 3 files (0.30 MB) to {paths.cache}"


def test_the_next_start_reads_no_origin_and_the_whole_cache_can_be_moved(model, paths, get, tmp_path):
    get(model)
    shutil.rmtree(tmp_path / "origin")
    assert get(model).unverified is None
    assert get.lines == []
    assert get.bar.getvalue() == ""
    paths.cache.rename(tmp_path / "elsewhere")
    moved = ensure_snapshot(model, WeightPaths(tmp_path / "elsewhere", None), log=pytest.fail)
    assert not any((moved.folder / path).readlink().is_absolute() for path in FILES)
    verify_files(moved.manifest, moved.folder)


def test_an_embedded_model_is_used_where_it_is(paths, get):
    emoji = load_model(WEIGHTS / "emoji")
    snapshot = get(emoji)
    assert (snapshot.folder, snapshot.unverified) == (emoji.folder, Records(paths.cache))
    assert not paths.cache.exists()


def test_a_file_that_two_models_share_is_there_once(model, tmp_path, paths, get):
    other = local_model(tmp_path, {"text_encoder/model.safetensors": FILES["transformer/model.safetensors"]}, "other")
    get(model)
    first, second = get(model).folder, get(other).folder
    shutil.rmtree(tmp_path / "origin")
    one, same = first / "transformer/model.safetensors", second / "text_encoder/model.safetensors"
    assert one.samefile(same)
    assert len(names(paths.cache / "blobs")) == 3


def test_a_lock_that_changes_gets_a_folder_of_its_own(model, get, tmp_path):
    first = get(model)
    data = b'{"width": 16}'
    (tmp_path / "origin/vae/config.json").write_bytes(data)
    entries = [vars(file) for file in first.manifest.files if file.path != "vae/config.json"]
    write_lock(model.folder, [*entries, entry("vae/config.json", data, f"file:{tmp_path}/origin/vae/config.json")])
    second = get(model)
    assert (second.folder / "vae/config.json").read_bytes() == data
    assert (first.folder / "vae/config.json").read_bytes() == FILES["vae/config.json"]


def test_a_damaged_folder_of_links_is_made_anew(model, get):
    folder = get(model).folder
    (folder / "vae/config.json").unlink()
    (folder / "model_index.json").chmod(0o644)
    (folder / "model_index.json").write_bytes(b"")
    again = get(model)
    assert again.folder == folder
    verify_files(again.manifest, folder)
    assert names(folder.parent) == {folder.name}


def test_of_two_processes_that_make_the_folder_the_first_one_stays(model, get, tmp_path):
    first = get(model)
    late = first.folder.with_name(".late")
    shutil.copytree(first.folder, late, symlinks=True)
    before = first.folder.stat().st_ino
    move_into_place(late, first.folder, first.manifest)
    assert first.folder.stat().st_ino == before


def test_a_blob_of_a_wrong_size_is_fetched_again(model, paths, get):
    get(model)
    blob = paths.cache / "blobs" / digest(FILES["vae/config.json"]).replace(":", "-")
    blob.chmod(0o644)
    blob.write_bytes(b"torn")
    again = get(model)
    verify_files(again.manifest, again.folder)


@pytest.mark.parametrize(
    ("changes", "data", "problem"),
    [
        ({}, b"other bytes.", "has digest sha256:"),
        ({}, b"short", "has 5 bytes instead of 12"),
        ({"size": None, "digest": digest(b"published", "md5")}, b"other bytes.", "has digest md5:"),
    ],
)
def test_a_file_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(tmp_path, paths, get, changes, data, problem):
    model = local_model(tmp_path, {"a.json": b"right bytes."}, **changes)
    (tmp_path / "origin/a.json").write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        get(model)
    assert str(caught.value).startswith(f"file:{tmp_path}/origin/a.json {problem}")
    assert names(paths.cache / "blobs") == set()
    assert not (paths.cache / "snapshots").exists()


def test_a_local_source_that_is_not_there_is_a_sentence(model, get, tmp_path):
    (tmp_path / "origin/vae/config.json").unlink()
    with pytest.raises(FetchError, match="there is no such file on this machine. Put it there"):
        get(model)


def test_a_relative_local_source_counts_from_the_models_folder(tmp_path, get):
    folder = write_model(tmp_path, "tiny", [entry("a.json", b"{}", "file:../shared/a.json")])
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared/a.json").write_bytes(b"{}")
    assert (get(load_model(folder)).folder / "a.json").read_bytes() == b"{}"


def test_a_file_pinned_by_md5_is_kept_by_its_sha256(tmp_path, paths, get):
    data = b"published by its MD5"
    model = local_model(tmp_path, {"a.json": data}, size=None, digest=digest(data, "md5"))
    snapshot = get(model)
    verify_files(snapshot.manifest, snapshot.folder)
    sha256, md5 = (digest(data, name).replace(":", "-") for name in ("sha256", "md5"))
    assert names(paths.cache / "blobs") == {sha256, md5}
    assert (paths.cache / "blobs" / md5).readlink() == Path(sha256)


def test_a_file_without_a_digest_is_refused_with_the_command_that_pins_it(tmp_path, paths, get):
    model = local_model(tmp_path, {"a.json": b"{}", "b.json": b"{}"}, digest=None)
    with pytest.raises(WeightsError) as caught:
        get(model)
    assert "has no digest for a.json, b.json" in str(caught.value)
    assert "`easel weights lock tiny`" in str(caught.value)
    assert not paths.cache.exists()


def test_a_changed_file_beside_the_lock_is_refused(model, get):
    (model.folder / "model_index.json").write_bytes(b'{"_class_name": "Evil"}')
    with pytest.raises(WeightsError, match="model_index.json has .* Restore it from the repository."):
        get(model)
