"""Archives made to do harm, damaged or too large are refused."""

import contextlib
import io
import json
import lzma
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest

from easel.errors import AdapterError, ResourceError
from easel.lora import archives
from easel.lora.archives import is_cut_off, kind_of_file, unpack_safetensors
from tests.unit.archives.common import CONFIG, GNU, KINDS, MB, PAX, WEIGHTS, make, make_tar, make_zip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["../a.txt", "/etc/a.txt", "b/../../a.txt", "C:/a.txt", "..\\a.txt", "b\\..\\..\\a.txt"]
)
def test_member_that_leaves_the_folder_is_refused_though_it_is_not_wanted(refusal, kind, name):
    assert "leaves its folder" in refusal(make(kind, [("a.safetensors", WEIGHTS), (name, b"x")]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("format", [GNU, PAX])
def test_links_and_devices_in_a_tar_are_refused(refusal, kind, format):
    info = tarfile.TarInfo("a.safetensors")
    info.type, info.linkname = kind, "/etc/passwd" * 20
    assert "a link or device ('a.safetensors')" in refusal(make_tar([(info, b"")], format=format))


def test_sparse_member_is_refused(refusal):
    info = tarfile.TarInfo("a.safetensors")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**12)}
    assert "a link or device" in refusal(make_tar([(info, WEIGHTS)]))


def test_link_in_a_zip_is_refused(refusal):
    info = zipfile.ZipInfo("a.safetensors")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "a link or device ('a.safetensors')" in refusal(make_zip([(info, b"/etc/passwd")]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(refusal, kind):
    members = [("a.safetensors", WEIGHTS), ("b.txt", b"1"), ("./b.txt", b"2")]
    assert "two members of one name ('b.txt')" in refusal(make(kind, members))


def test_encrypted_zip_is_refused(refusal):
    data = bytearray(make_zip([("a.safetensors", WEIGHTS)]))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    assert "encrypted" in refusal(bytes(data))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_with_a_compression_that_python_does_not_bound_is_refused(refusal, compression):
    assert "compressed in a way that is not read" in refusal(make_zip([("a.safetensors", WEIGHTS)], compression))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_above_the_limit_are_refused_while_they_unpack(refusal, kind):
    assert "more than 1000000 bytes" in refusal(make(kind, [("a.safetensors", bytes(2 * MB))]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "zip"])
def test_unwanted_members_count_too(refusal, kind):
    assert "more than 1000000 bytes" in refusal(make(kind, [("a.txt", bytes(2 * MB)), ("a.safetensors", WEIGHTS)]))


def test_unwanted_members_of_a_zip_are_not_unpacked(unpack):
    assert unpack(make_zip([("a.txt", bytes(2 * MB)), ("a.safetensors", WEIGHTS)])).read_bytes() == WEIGHTS


def test_zip_whose_header_lies_about_the_size_is_bounded_by_what_comes(refusal):
    data = bytearray(make_zip([("a.safetensors", bytes(2 * MB))]))
    central = data.index(b"PK\1\2")
    struct.pack_into("<I", data, central + 24, 100)  # uncompressed size
    message = refusal(bytes(data))
    assert "damaged" in message or "more than" in message


@pytest.mark.parametrize("kind", KINDS)
def test_number_of_members_is_bounded(refusal, kind, monkeypatch):
    monkeypatch.setattr("easel.archives.members.MAX_MEMBERS", 20)
    members = [(f"{k}.txt", b"") for k in range(21)]
    assert "more than 20 members" in refusal(make(kind, members))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_ten_thousand_members_are_read_and_one_more_is_not(unpack, refusal, kind):
    members = [("a.safetensors", WEIGHTS), *((f"folder/{k:05}.txt", b"") for k in range(9_999))]
    assert unpack(make(kind, members), 10 * MB).read_bytes() == WEIGHTS
    (unpack.__closure__[0].cell_contents / "out" / "adapter.safetensors").unlink()
    assert "more than 10000 members" in refusal(make(kind, [*members, ("z.txt", b"")]), 10 * MB)


def test_zip_whose_list_of_members_is_huge_is_refused_before_it_is_parsed(refusal, monkeypatch):
    monkeypatch.setattr("easel.archives.zips.MAX_ZIP_READ", 70_000)
    monkeypatch.setattr(zipfile.ZipInfo, "__init__", lambda *_: pytest.fail("it was parsed"))
    stream = io.BytesIO(b"PK\3\4" + b"PK\1\2" * 20_000)
    stream.seek(0, 2)
    stream.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 20_000, 20_000, 80_000, 4, 0))
    assert "members" in refusal(stream.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_cut_archive_is_refused(refusal, kind):
    data = make(kind, [("a.safetensors", os.urandom(100_000))])
    for length in (600, len(data) // 2, len(data) - 11_000):
        assert "damaged or incomplete" in refusal(data[:length])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_archives_end_in_a_sentence(unpack, kind, tmp_path, monkeypatch):
    """Bytes are changed one after the other; whatever each change does, it is a result or an AdapterError."""
    monkeypatch.setattr("os.fsync", lambda number: None)  # hundreds of them take long on a busy disk
    data = make(kind, [("b.txt", b"x"), ("a.safetensors", WEIGHTS[:700]), ("adapter_config.json", CONFIG)])
    for k in range(0, len(data), max(1, len(data) // 150)):
        for value in (0xFF, data[k] ^ 0x10):
            changed = data[:k] + bytes([value]) + data[k + 1 :]
            with contextlib.suppress(AdapterError):
                unpack(changed, 100_000)
            for file in (tmp_path / "out").iterdir():
                file.unlink()


@pytest.mark.parametrize("format", [GNU, PAX])
def test_tar_name_of_any_size_is_not_read_into_memory(refusal, format):
    data = make_tar([("n" * 20 * MB, b"x"), ("a.safetensors", WEIGHTS)], "w:gz", format)
    tracemalloc.start()
    try:
        message = refusal(data, 100 * MB)
        assert tracemalloc.get_traced_memory()[1] < 5 * MB
    finally:
        tracemalloc.stop()
    assert "too long" in message


def test_tar_of_headers_without_members_is_bounded_too(refusal, monkeypatch):
    monkeypatch.setattr("easel.archives.members.MAX_MEMBERS", 20)
    info = tarfile.TarInfo("x")
    info.type = tarfile.XGLTYPE
    assert "too long" in refusal(info.tobuf() * 61)


def test_xz_that_asks_for_gigabytes_of_memory_is_refused(refusal):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**20}]
    data = bytearray(lzma.compress(make_tar([("a.safetensors", WEIGHTS)]), check=lzma.CHECK_NONE, filters=filters))
    header = 12  # after the stream header: size, flags, filter 0x21, one property byte
    assert data[header + 2 : header + 4] == b"\x21\x01"
    data[header + 4] = 38  # a dictionary of 2 GiB
    end = header + (data[header] + 1) * 4
    data[end - 4 : end] = struct.pack("<I", zlib.crc32(data[header : end - 4]))
    assert "damaged" in refusal(bytes(data))


@pytest.mark.parametrize("kind", KINDS)
def test_config_above_one_megabyte_is_refused(refusal, kind):
    members = [("adapter_config.json", b" " * (MB + 1)), ("a.safetensors", WEIGHTS)]
    assert "adapter_config.json above 1 MB" in refusal(make(kind, members), 10 * MB)


@pytest.mark.parametrize("kind", KINDS)
def test_number_of_configs_in_memory_is_bounded(refusal, kind):
    members = [(f"{k}/adapter_config.json", b"{}") for k in range(17)]
    assert "more than 16 of them" in refusal(make(kind, members))


def test_member_names_cannot_forge_a_log_line(refusal):
    message = refusal(make_tar([("../a\nERROR: \x1b[31m" + "x" * 500, b"")]))
    assert "\\n" in message
    assert len(message) < 300


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_full_disk_is_a_resource_error(tmp_path, monkeypatch):
    archive = tmp_path / "a.zip"
    archive.write_bytes(make_zip([("a.safetensors", WEIGHTS)]))
    (tmp_path / "out").mkdir()
    real = archives.sync_file

    def sync(stream):
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            os.dup2(full.fileno(), stream.fileno())
        stream.write(b"x")
        real(stream)

    monkeypatch.setattr(archives, "sync_file", sync)
    with pytest.raises(ResourceError, match=r"adapter.safetensors cannot be written \(No space left on device\)"):
        unpack_safetensors(archive, tmp_path / "out", MB)
    assert list((tmp_path / "out").iterdir()) == []


def with_header(header, size):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize(
    ("data", "cut_off"),
    [
        (with_header({"a": {"data_offsets": [0, 100]}, "b": {"data_offsets": [100, 180]}}, 180), False),
        (with_header({"a": {"data_offsets": [0, 100]}, "b": {"data_offsets": [100, 180]}}, 179), True),
        (with_header({"__metadata__": {"a": "b"}}, 0), False),
        (with_header({}, 0), False),
        (with_header({"a": {"data_offsets": [0, 100]}}, 200), False),  # the loader says what is wrong with the others
        (with_header({"a": {"data_offsets": [0, "100"]}}, 0), False),
        (with_header({"a": 3}, 0), False),
        (with_header(b"{]", 0), False),
        (with_header(b'{"a":' * 100_000, 0), False),
    ],
)
def test_file_that_ends_before_its_last_tensor_is_cut_off(tmp_path, data, cut_off):
    (tmp_path / "file").write_bytes(data)
    assert is_cut_off(tmp_path / "file") is cut_off


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_told_by_content(tmp_path, kind):
    (tmp_path / "file").write_bytes(make(kind, [("a.safetensors", WEIGHTS)]))
    assert kind_of_file(tmp_path / "file") == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (WEIGHTS, "safetensors"),
        (WEIGHTS[:9], None),
        (struct.pack("<Q", 10**9) + b"{}", None),
        (b"<!doctype html>" * 100, None),
        (b"", None),
        (bytes(512), None),
        (b"PK\3\4", "zip"),
    ],
)
def test_kind_of_other_content(tmp_path, data, kind):
    (tmp_path / "file").write_bytes(data)
    assert kind_of_file(tmp_path / "file") == kind
