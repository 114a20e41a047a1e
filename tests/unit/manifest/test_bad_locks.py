"""Locks that are refused, and the digest of a model."""

import json
from dataclasses import replace

import pytest

from easel.weights.manifest import (
    LockedFile,
    Manifest,
    lock_folder,
    parse_manifest,
    read_manifest,
)
from tests.support.model_folders import WEIGHTS
from tests.unit.manifest.common import EMPTY, refusal

ENTRY = {"path": "vae/model.safetensors", "size": 8, "digest": EMPTY}


def lock_text(*entries):
    return json.dumps({"files": list(entries)})


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
