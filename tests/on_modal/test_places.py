"""The Volume with the weights: filled once, read by all, and written by none of them."""

import shutil
from pathlib import Path

import pytest

from easel.errors import WeightsError
from easel.platforms.on_modal.places import Places
from easel.weights.snapshots import ensure_snapshot
from tests.on_modal.common import import_app
from tests.support.model_folders import local_model
from tests.support.serving import REPOSITORY

FILES = {"transformer/model.safetensors": bytes(300_000), "vae/config.json": b'{"width": 8}'}


@pytest.fixture
def model(tmp_path):
    model = local_model(tmp_path, FILES)
    shutil.copy(REPOSITORY / "modal_app.py", tmp_path)
    return model


def listed(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.slow
def test_weights_are_pulled_once_and_used_in_place(tmp_path, model, monkeypatch, capfd):
    store, places = tmp_path / "store", Places(tmp_path / "store", tmp_path / "data", tmp_path / "local")
    monkeypatch.setenv("EASEL_CACHE_DIR", str(store))
    app = import_app(tmp_path, EASEL_MODEL="tiny")
    with pytest.warns(UserWarning, match="executing locally"):
        app.pull_weights.local()
    pulled = Path(capfd.readouterr().out.strip())
    shutil.rmtree(tmp_path / "origin")
    before = listed(store)
    paths = places.paths(model)
    snapshot = ensure_snapshot(model, paths, log=pytest.fail)
    assert snapshot.unverified is None  # they were verified when they came: no start reads them for that
    assert snapshot.folder.resolve() == pulled
    for name, content in FILES.items():
        assert (snapshot.folder / name).resolve().is_relative_to(store / "blobs")
        assert (snapshot.folder / name).read_bytes() == content
    (paths.cache / "adapters").mkdir()  # as a LoRA does
    assert listed(store) == before
    assert places.paths(model) == paths  # once more, after the restore


@pytest.mark.slow
def test_a_pull_that_fails_is_no_success(tmp_path, model, monkeypatch):
    monkeypatch.setenv("EASEL_CACHE_DIR", str(tmp_path / "store"))
    shutil.rmtree(tmp_path / "origin")
    app = import_app(tmp_path, EASEL_MODEL="tiny")
    with pytest.warns(UserWarning, match="executing locally"), pytest.raises(Exception, match="exit status 1"):
        app.pull_weights.local()


def test_a_volume_that_was_not_filled_names_the_command_that_does(tmp_path, model):
    places = Places(tmp_path / "store", tmp_path / "data", tmp_path / "local")
    with pytest.raises(WeightsError, match=r"lacks 2 files of tiny, transformer/model.safetensors .*::pull_weights"):
        places.paths(model)


def test_in_a_container_the_volumes_are_where_the_decorators_mount_them():
    assert Places.find({"EASEL_CACHE_DIR": "/elsewhere"}, is_local=False) == Places(
        Path("/weights"), Path("/data"), Path("/tmp/easel")
    )
