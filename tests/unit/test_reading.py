"""Files are read, and verified, before anybody needs them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from easel.errors import WeightsError
from easel.weights import reading
from easel.weights.manifest import Manifest, lock_folder
from easel.weights.reading import start_reading
from easel.weights.records import Records
from easel.weights.snapshots import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    folder = tmp_path / "model"
    (folder / "vae").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    for k in range(5):
        (folder / "vae" / f"{k}.safetensors").write_bytes(bytes([k]) * 100_000)
    return Snapshot(folder, lock_folder(folder), Records(tmp_path / "cache"))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_right_files_are_verified(snapshot):
    assert start_reading(snapshot).wait() is None


def test_every_wrong_file_is_named_in_one_message(snapshot):
    for k in (1, 3):
        flip_a_bit(snapshot.folder / "vae" / f"{k}.safetensors")
    with pytest.raises(WeightsError) as caught:
        start_reading(snapshot).wait()
    assert "vae/1.safetensors has digest sha256:" in str(caught.value)
    assert "vae/3.safetensors has digest sha256:" in str(caught.value)
    assert "vae/2" not in str(caught.value)


def test_what_the_store_has_verified_is_not_hashed_again(snapshot):
    flip_a_bit(snapshot.folder / "vae" / "1.safetensors")
    start_reading(Snapshot(snapshot.folder, snapshot.manifest, None)).wait()


@pytest.mark.parametrize("verified", [True, False])
def test_a_missing_a_short_and_a_strange_file_are_noticed_before_anything_is_read(snapshot, verified):
    unverified = None if verified else snapshot.unverified
    (snapshot.folder / "vae" / "0.safetensors").unlink()
    (snapshot.folder / "vae" / "1.safetensors").write_bytes(b"short")
    (snapshot.folder / "vae" / "other.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError) as caught:
        start_reading(Snapshot(snapshot.folder, snapshot.manifest, unverified))
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


def hashed(monkeypatch, snapshot: Snapshot) -> list[str]:
    """The files that a start hashes."""
    names: list[str] = []
    original = reading.digest_problem

    def digest_problem(file, folder):
        names.append(file.path)
        return original(file, folder)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "digest_problem", digest_problem)
        start_reading(snapshot).wait()
    return sorted(names)


def test_a_file_is_hashed_once_for_its_size_and_time(snapshot, monkeypatch):
    assert len(hashed(monkeypatch, snapshot)) == 6
    assert hashed(monkeypatch, snapshot) == []
    os.utime(snapshot.folder / "vae" / "3.safetensors")
    assert hashed(monkeypatch, snapshot) == ["vae/3.safetensors"]
    assert hashed(monkeypatch, snapshot) == []


def test_a_changed_file_is_found_by_its_time_and_what_was_wrong_is_not_recorded(snapshot):
    start_reading(snapshot).wait()
    flip_a_bit(snapshot.folder / "vae" / "1.safetensors")
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"vae/1\.safetensors has digest"):
            start_reading(snapshot).wait()


def test_a_link_is_known_by_the_file_that_it_leads_to(snapshot, tmp_path, monkeypatch):
    hashed(monkeypatch, snapshot)
    links = tmp_path / "links"
    for file in snapshot.manifest.files:
        (links / file.path).parent.mkdir(parents=True, exist_ok=True)
        (links / file.path).symlink_to(snapshot.folder / file.path)
    assert hashed(monkeypatch, Snapshot(links, snapshot.manifest, snapshot.unverified)) == []


def test_another_digest_in_the_lock_is_another_file(snapshot, monkeypatch):
    start_reading(snapshot).wait()
    first, *others = snapshot.manifest.files
    manifest = Manifest((replace(first, digest="sha256:" + "0" * 64), *others))
    with pytest.raises(WeightsError, match=first.path):
        start_reading(Snapshot(snapshot.folder, manifest, snapshot.unverified)).wait()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"null"])
def test_a_damaged_record_is_none(snapshot, monkeypatch, content):
    start_reading(snapshot).wait()
    for record in snapshot.unverified.folder.iterdir():
        record.write_bytes(content)
    assert len(hashed(monkeypatch, snapshot)) == 6


def test_where_no_record_can_be_written_each_start_hashes(snapshot, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    readonly = Snapshot(snapshot.folder, snapshot.manifest, Records(tmp_path / "file"))
    assert len(hashed(monkeypatch, readonly)) == 6
    assert len(hashed(monkeypatch, readonly)) == 6
