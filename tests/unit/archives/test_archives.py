"""Archives: the only safetensors file comes out, with its settings."""

import bz2
import gzip
import io
import tarfile
import zipfile

import pytest

from tests.unit.archives.common import CONFIG, GNU, KINDS, PAX, USTAR, WEIGHTS, make, make_tar, make_zip


@pytest.mark.parametrize("kind", KINDS)
def test_the_only_safetensors_file_is_taken_out_and_its_config_with_it(unpack, kind):
    members = [("out/captions/1.txt", b"a cat"), ("out/lora.safetensors", WEIGHTS), ("out/adapter_config.json", CONFIG)]
    path = unpack(make(kind, members))
    assert path.name == "adapter.safetensors"
    assert path.read_bytes() == WEIGHTS
    assert sorted(file.name for file in path.parent.iterdir()) == ["adapter.safetensors", "adapter_config.json"]
    assert path.with_name("adapter_config.json").read_bytes() == CONFIG


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_in_another_folder_is_not_the_adapters(unpack, kind):
    members = [("base/adapter_config.json", b"{}"), ("lora.safetensors", WEIGHTS)]
    assert not unpack(make(kind, members)).with_name("adapter_config.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_macos_adds_is_ignored(unpack, kind):
    junk = [("__MACOSX/._a.safetensors", b"x"), ("__MACOSX/b.safetensors", b"x"), ("._a.safetensors", b"x")]
    path = unpack(make(kind, [junk[0], ("a.safetensors", WEIGHTS), *junk[1:], (".DS_Store", b"x")]))
    assert path.read_bytes() == WEIGHTS


@pytest.mark.parametrize("format", [GNU, PAX, USTAR])
def test_long_names_folders_and_leading_dots_of_a_tar_are_read(unpack, format):
    folder = tarfile.TarInfo("./")
    folder.type = tarfile.DIRTYPE
    deep = "./" + "f" * 60 + "/" + "g" * 60 + "/" + "n" * 60
    data = make_tar([(folder, b""), (deep + ".safetensors", WEIGHTS), (deep + ".txt", b"x")], format=format)
    assert unpack(data).read_bytes() == WEIGHTS


def test_tar_without_its_final_blocks_is_read(unpack):
    data = make_tar([("a.safetensors", WEIGHTS)])
    end = 512 + -(-len(WEIGHTS) // 512) * 512
    assert unpack(data[:end]).read_bytes() == WEIGHTS


def test_tar_that_git_archive_makes_is_read(unpack):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=PAX, pax_headers={"comment": "0" * 40}) as archive:
        info = tarfile.TarInfo("a.safetensors")
        info.size = len(WEIGHTS)
        archive.addfile(info, io.BytesIO(WEIGHTS))
    assert unpack(stream.getvalue()).read_bytes() == WEIGHTS


def test_gzip_of_several_parts_is_read(unpack):

    data = make_tar([("a.safetensors", WEIGHTS)])
    assert unpack(gzip.compress(data[:700]) + gzip.compress(data[700:])).read_bytes() == WEIGHTS


def test_bzip2_of_several_parts_is_read(unpack):
    data = make_tar([("a.safetensors", WEIGHTS)])
    assert unpack(bz2.compress(data[:700]) + bz2.compress(data[700:])).read_bytes() == WEIGHTS


def test_stored_zip_is_read(unpack):
    assert unpack(make_zip([("a.safetensors", WEIGHTS)], zipfile.ZIP_STORED)).read_bytes() == WEIGHTS


@pytest.mark.parametrize("kind", KINDS)
def test_archive_with_two_weights_is_refused_by_their_names(refusal, kind):
    message = refusal(make(kind, [("a.safetensors", WEIGHTS), ("b/c.SafeTensors", WEIGHTS)]))
    assert "more than one .safetensors file ('a.safetensors', 'b/c.SafeTensors')" in message


@pytest.mark.parametrize("kind", KINDS)
def test_archive_without_weights_is_refused(refusal, kind):
    assert "no .safetensors file" in refusal(make(kind, [("a.bin", WEIGHTS)]))


def test_empty_archives_are_refused(refusal):
    assert "no .safetensors file" in refusal(make_zip([]))
    assert "neither a tar nor a zip" in refusal(make_tar([]))
    assert "neither a tar nor a zip" in refusal(b"")
    assert "neither a tar nor a zip" in refusal(WEIGHTS)
