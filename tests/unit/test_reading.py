"""Files are read, and verified, before anybody needs them."""

from pathlib import Path

import pytest

from easel.errors import WeightsError
from easel.weights.manifest import lock_folder
from easel.weights.reading import start_reading
from easel.weights.snapshots import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    (tmp_path / "vae").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    for k in range(5):
        (tmp_path / "vae" / f"{k}.safetensors").write_bytes(bytes([k]) * 100_000)
    return Snapshot(tmp_path, lock_folder(tmp_path), verified=False)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_right_files_are_proven(snapshot):
    assert start_reading(snapshot).wait() is None


def test_every_wrong_file_is_named_in_one_message(snapshot):
    for k in (1, 3):
        flip_a_bit(snapshot.folder / "vae" / f"{k}.safetensors")
    with pytest.raises(WeightsError) as caught:
        start_reading(snapshot).wait()
    assert "vae/1.safetensors has digest sha256:" in str(caught.value)
    assert "vae/3.safetensors has digest sha256:" in str(caught.value)
    assert "vae/2" not in str(caught.value)


def test_what_the_store_has_proven_is_not_hashed_again(snapshot):
    flip_a_bit(snapshot.folder / "vae" / "1.safetensors")
    start_reading(Snapshot(snapshot.folder, snapshot.manifest, verified=True)).wait()


@pytest.mark.parametrize("verified", [True, False])
def test_a_missing_a_short_and_a_strange_file_are_noticed_before_anything_is_read(snapshot, verified):
    (snapshot.folder / "vae" / "0.safetensors").unlink()
    (snapshot.folder / "vae" / "1.safetensors").write_bytes(b"short")
    (snapshot.folder / "vae" / "other.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError) as caught:
        start_reading(Snapshot(snapshot.folder, snapshot.manifest, verified))
    for problem in (
        "vae/0.safetensors is missing",
        "vae/1.safetensors has 5 bytes instead of 100000",
        "vae/other.safetensors is not listed",
    ):
        assert problem in str(caught.value)


def test_a_file_that_goes_away_meanwhile_is_named(snapshot):
    (snapshot.folder / "vae" / "2.safetensors").unlink()
    (snapshot.folder / "vae" / "2.safetensors").symlink_to("/proc/self/mem")  # opens, but cannot be read
    with pytest.raises(WeightsError, match="vae/2.safetensors"):
        start_reading(snapshot).wait()
