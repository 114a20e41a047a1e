"""The lock file: what it verifies, what it refuses, and that a broken model is named file by file."""

import json
from dataclasses import replace

import pytest

from easel.errors import WeightsError
from easel.weights.manifest import (
    LockedFile,
    Manifest,
    digest_of,
    lock_folder,
    parse_manifest,
    read_manifest,
)
from tests.support.model_folders import WEIGHTS
from tests.support.verify import verify_files

TENSORS = b"tensors " * 1000
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes at all
ENTRY = {"path": "vae/model.safetensors", "size": 8, "digest": EMPTY}


@pytest.fixture
def folder(tmp_path):
    for name, data in {
        "model.yaml": b"name: tiny",
        "README.md": b"# Tiny",
        "model_index.json": b"{}",
        "transformer/config.json": b'{"width": 8}',
        "transformer/model.safetensors": TENSORS,
        "tokenizer/merges.txt": b"",
    }.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "tiny"


def refusal(function, *arguments):
    with pytest.raises(WeightsError) as caught:
        function(*arguments)
    return str(caught.value)


def lock_text(*entries):
    return json.dumps({"files": list(entries)})


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


def test_missing_lock_is_refused_with_its_path(folder):
    assert str(folder / "weights.lock") in refusal(read_manifest, folder)


def test_bad_lock_is_refused_with_its_path(folder):
    (folder / "weights.lock").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert str(folder / "weights.lock") in refusal(read_manifest, folder)


def test_lock_that_is_not_utf_8_is_refused_with_its_path(folder):
    (folder / "weights.lock").write_bytes(b"\xff\xfe{")
    assert str(folder / "weights.lock") in refusal(read_manifest, folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "7",
        "[]",
        "{}",
        '{"files": null}',
        '{"files": 7}',
        '{"files": ["a"]}',
        '{"files": {"a": "b"}}',
        lock_text({"path": "a", "size": 1}),
        lock_text({**ENTRY, "url": "https://example.com"}),
    ],
)
def test_text_that_is_not_a_lock_file_is_refused(text):
    message = refusal(parse_manifest, text, "tiny/weights.lock")
    assert message.startswith("tiny/weights.lock is not a lock file (")
    assert message.endswith("restore it from the repository.")


@pytest.mark.parametrize(
    "path",
    ["../secret", "a/../../secret", "..", "/etc/passwd", "//etc/passwd", "", ".", "./", "..\\secret", "C:\\secret"],
)
def test_path_outside_of_the_folder_is_refused(path):
    message = refusal(parse_manifest, lock_text({**ENTRY, "path": path}))
    assert f"path {path!r} leaves the model's folder" in message


def test_path_with_dots_in_a_name_is_accepted():
    path = "a..b/..c/model-00001-of-00002.safetensors"
    assert parse_manifest(lock_text({**ENTRY, "path": path})).files[0].path == path


@pytest.mark.parametrize(
    "digest",
    [
        "",
        EMPTY.removeprefix("sha256:"),
        EMPTY[:-1],
        EMPTY + "0",
        EMPTY + "\n",
        EMPTY[:-1] + "g",
        "sha256:" + EMPTY.removeprefix("sha256:").upper(),
        EMPTY.replace("sha256", "md5"),
    ],
)
def test_digest_that_is_no_sha256_is_refused(digest):
    message = refusal(parse_manifest, lock_text({**ENTRY, "digest": digest}))
    assert f"digest {digest!r} of vae/model.safetensors is not sha256: and 64 hex digits" in message


def test_negative_size_is_refused():
    assert "size -1 of vae/model.safetensors is negative" in refusal(parse_manifest, lock_text({**ENTRY, "size": -1}))


@pytest.mark.parametrize(
    "wrong", [{"path": 7}, {"path": None}, {"size": "8"}, {"size": 8.0}, {"size": True}, {"digest": 7}]
)
def test_value_of_the_wrong_type_is_refused(wrong):
    assert "has a value of the wrong type" in refusal(parse_manifest, lock_text({**ENTRY, **wrong}))


@pytest.mark.parametrize("entries", [[], [ENTRY, ENTRY], [ENTRY, {**ENTRY, "size": 9}]])
def test_lock_that_names_no_file_or_one_twice_is_refused(entries):
    assert "names no file, or one twice" in refusal(parse_manifest, lock_text(*entries))


def test_digest_of_the_model_does_not_depend_on_the_order_of_its_files(folder):
    manifest = lock_folder(folder)
    assert len(manifest.files) == 4
    assert Manifest(manifest.files[::-1]).digest == manifest.digest


def test_digest_of_the_model_changes_with_any_byte_of_any_file(folder):
    digests = {lock_folder(folder).digest}
    for name in ("transformer/config.json", "transformer/model.safetensors"):
        data = (folder / name).read_bytes()
        for position in (0, len(data) // 2, len(data) - 1):
            changed = bytearray(data)
            changed[position] ^= 1
            (folder / name).write_bytes(changed)
            digests.add(lock_folder(folder).digest)
        (folder / name).write_bytes(data)
    assert len(digests) == 7
    assert lock_folder(folder).digest in digests


def test_digest_of_the_model_changes_with_the_name_and_the_number_of_files(folder):
    manifest = lock_folder(folder)
    renamed = Manifest((replace(manifest.files[0], path="renamed.json"), *manifest.files[1:]))
    assert len({manifest.digest, renamed.digest, Manifest(manifest.files[1:]).digest}) == 3


def test_digest_of_a_model_stays_the_published_one():
    """It stands in the files of all images: printf '%s  a.json\\n' sha256:e3b0... | sha256sum."""
    published = "sha256:a54dd20dc5cd68057c74eb7fe1e03778a0e4ad902f691670b10607877784e9ec"
    assert Manifest((LockedFile("a.json", 0, EMPTY),)).digest == published


@pytest.mark.parametrize("missing", [{"size": None}, {"digest": None}, {"digest": "md5:" + 32 * "0"}])
def test_only_a_file_from_elsewhere_may_still_lack_its_size_and_sha256(missing):
    source = "hf://owner/name@" + 40 * "a" + "/vae.safetensors"
    assert parse_manifest(lock_text({**ENTRY, "source": source, **missing})).files[0].source == source
    assert "beside the lock, so it needs a size and a sha256" in refusal(
        parse_manifest, lock_text({**ENTRY, **missing})
    )


@pytest.mark.parametrize("lock", sorted(WEIGHTS.glob("*/weights.lock")), ids=lambda path: path.parent.name)
def test_no_lock_of_the_repository_lacks_a_size_or_a_sha256(lock):
    files = read_manifest(lock.parent).files
    assert files
    assert [file.path for file in files if not file.is_pinned] == []
