"""A lock of a folder: made, read, verified."""

from easel.weights.manifest import (
    digest_of,
    lock_folder,
    read_manifest,
)
from tests.support.verify import verify_files
from tests.unit.manifest.common import EMPTY, TENSORS, refusal


def test_folder_is_locked_read_and_verified(folder):
    manifest = lock_folder(folder)
    assert read_manifest(folder) == manifest
    verify_files(manifest, folder)
    assert {file.path: file.size for file in manifest.files} == {
        "model_index.json": 2,
        "transformer/config.json": 12,
        "transformer/model.safetensors": 8000,
        "tokenizer/merges.txt": 0,
    }


def test_digest_of_a_file_is_its_sha256(folder):
    assert digest_of(folder / "tokenizer" / "merges.txt") == EMPTY
    assert digest_of(folder / "model_index.json") == (
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )


def test_locking_again_gives_the_same_bytes_and_leaves_nothing_else(folder):
    lock_folder(folder)
    before = (folder / "weights.lock").read_bytes()
    lock_folder(folder)
    assert (folder / "weights.lock").read_bytes() == before
    assert before.endswith(b"}\n")
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "README.md",
        "model.yaml",
        "model_index.json",
        "weights.lock",
    ]


def test_what_an_interrupted_lock_left_behind_is_not_locked(folder):
    expected = lock_folder(folder)
    (folder / "weights.lock.tmp").write_text('{"files": [')
    assert lock_folder(folder) == expected
    verify_files(read_manifest(folder), folder)


def test_folder_without_weights_is_not_locked(tmp_path):
    (tmp_path / "model.yaml").write_text("name: tiny")
    assert str(tmp_path) in refusal(lock_folder, tmp_path)
    assert not (tmp_path / "weights.lock").exists()


def test_what_is_written_by_hand_may_change_under_a_lock(folder):
    lock_folder(folder)
    (folder / "model.yaml").write_text("name: tiny # with a remark")
    (folder / "README.md").unlink()
    verify_files(read_manifest(folder), folder)


def test_all_broken_files_are_named_in_one_message_with_what_is_wrong(folder):
    (folder / "transformer" / "second.safetensors").write_bytes(TENSORS)
    manifest = lock_folder(folder)
    (folder / "model_index.json").unlink()
    (folder / "transformer" / "model.safetensors").write_bytes(TENSORS[:-1])
    (folder / "transformer" / "second.safetensors").write_bytes(TENSORS[:-1] + b"!")
    message = refusal(verify_files, manifest, folder)
    assert message.startswith(f"The files in {folder} are not the 5 of weights.lock: ")
    assert "model_index.json is missing" in message
    assert "transformer/model.safetensors has 7999 bytes instead of 8000" in message
    found, locked = digest_of(folder / "transformer" / "second.safetensors"), manifest.files[-1].digest
    assert found != locked
    assert f"transformer/second.safetensors has digest {found} instead of {locked}" in message
    assert "config.json" not in message
    assert message.endswith("Put the right ones there, and see that they may be read.")


def test_a_file_beside_the_listed_ones_is_refused_since_a_loader_might_read_it(folder):
    manifest = lock_folder(folder)
    (folder / "transformer" / "model.safetensors.index.json").write_text("{}")
    assert "transformer/model.safetensors.index.json is not listed" in refusal(verify_files, manifest, folder)


def test_folder_in_the_place_of_a_file_is_a_missing_file(folder):
    manifest = lock_folder(folder)
    (folder / "model_index.json").unlink()
    (folder / "model_index.json").mkdir()
    assert "model_index.json is missing" in refusal(verify_files, manifest, folder)
