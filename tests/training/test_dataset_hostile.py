"""Archives made to do harm are refused in words, or bounded; nothing of them is written to disk."""

import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib

import pytest

from easel.training import archive, dataset
from tests.support.picture_files import png
from tests.training.raw_zip import entry, local, zip_of
from tests.training.sets import faults, image_bytes, images, names
from tests.unit.archives.common import KINDS, make, make_tar, make_zip

GOOD = images(4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "b/../../a.png", "C:\\a.png", "..\\a.png", "\\\\host\\a.png"]
)
def test_a_name_that_leads_out_is_refused(refusal, kind, name):
    assert "leaves its folder" in refusal(make(kind, [*GOOD, (name, image_bytes(9))]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_refused(refusal, kind):
    info = tarfile.TarInfo("zero.png")
    info.type, info.linkname, info.devmajor, info.devminor = kind, "/dev/zero", 1, 5
    assert "a link or device ('zero.png')" in refusal(make_tar([*GOOD, (info, b"")]))


def test_a_link_of_a_zip_is_refused(refusal):
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "a link or device" in refusal(make_zip([*GOOD, (info, b"/etc/passwd")]))


def test_an_encrypted_zip_is_refused(refusal):
    data = bytearray(make_zip(GOOD))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    assert refusal(bytes(data)) == "The archive is encrypted ('0000.png'): make it without a password."


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_of_a_zip_are_refused(refusal, compression):
    assert "use deflate" in refusal(make_zip(GOOD, compression))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(refusal, kind):
    assert "two members of one name" in refusal(make(kind, [*GOOD, ("./0000.png", image_bytes(9))]))


def test_members_that_share_bytes_are_refused(refusal):
    content = image_bytes(1)
    packed = zlib.compress(content, wbits=-15)
    fields = (len(packed), len(content), zlib.crc32(content))
    body = local(b"a.png", *fields) + packed
    assert "overlap" in refusal(zip_of(body, [entry(b"a.png", 0, *fields), entry(b"b.png", 0, *fields)]))


def test_a_member_that_quotes_the_header_of_the_next_is_refused(refusal):
    """As in Fifield's bomb: the first member's data is a stored block around the second one's local header."""
    content = image_bytes(1)
    packed = zlib.compress(content, wbits=-15)
    fields = (len(packed), len(content), zlib.crc32(content))
    inner = local(b"b.png", *fields)
    quoted = struct.pack("<BHH", 0, len(inner), len(inner) ^ 0xFFFF)
    whole = inner + content
    outer = (len(quoted + inner + packed), len(whole), zlib.crc32(whole))
    body = local(b"a.png", *outer) + quoted
    entries = [entry(b"a.png", 0, *outer), entry(b"b.png", len(body), *fields)]
    assert "overlap" in refusal(zip_of(body + inner + packed, entries))


@pytest.mark.parametrize("declared", [1, 100, 2**32 - 2])
@pytest.mark.parametrize("offset", [20, 24])
def test_a_size_that_lies_costs_that_image_alone(read, declared, offset):
    """20: the compressed size in the central directory, 24: the size. The last member has no next one to overlap."""
    data = bytearray(make_zip(GOOD))
    struct.pack_into("<I", data, data.rindex(b"PK\1\2") + offset, declared)
    found = read.bytes(bytes(data))
    assert names(found) in (["0000.png", "0001.png", "0002.png"], [name for name, _ in GOOD])
    assert set(faults(found)) <= {"0003.png"}
    assert (len(found.examples) == 3) == (len(faults(found)) == 1)


def test_a_broken_member_of_a_zip_costs_that_image_alone(read):
    content = os.urandom(1000)
    data = make_zip([*GOOD, ("z.png", b"\x89PNG\r\n\x1a\n" + content)], zipfile.ZIP_STORED)
    found = read.bytes(data.replace(content, content[:-1] + bytes([content[-1] ^ 1])))
    assert names(found) == [name for name, _ in GOOD]
    assert "Bad CRC-32" in faults(found)["z.png"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "zip"])
def test_a_tar_that_breaks_off_is_refused(refusal, kind):
    members = [*GOOD, ("z.png", os.urandom(200_000))]
    assert "damaged or incomplete" in refusal(make(kind, members)[:-150_000])


@pytest.mark.parametrize("kind", KINDS)
def test_more_is_not_unpacked_than_is_accepted(refusal, kind, monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED", 3_000_000)
    zeros = [(f"z{k}.png", b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)) for k in range(5)]
    assert "unpacks to more than 3000000 bytes" in refusal(make(kind, [*GOOD, *zeros]))


def test_a_file_that_is_too_large_is_read_no_further(read):
    found = read([*GOOD, ("huge.png", b"\x89PNG\r\n\x1a\n" + bytes(31_000_000)), ("zeros.bin", bytes(40_000_000))])
    assert faults(found) == {
        "huge.png": "the file has more than 30 MB: make it smaller.",
        "zeros.bin": "the file is of an unknown kind; JPEG, PNG, WebP, GIF, AVIF and HEIC are accepted.",
    }


def test_an_image_of_too_many_pixels_is_not_decoded(read):
    bomb = png(60_000, 60_000, 8, 2, [bytes(100)])
    assert "3600 megapixels; at most 50" in faults(read([*GOOD, ("bomb.png", bomb)]))["bomb.png"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_more_than_a_thousand_images_are_refused(read, refusal, kind):
    tiny = [(f"{k:04}.png", image_bytes(k, (2, 2))) for k in range(1001)]
    assert len(read(tiny[:1000], kind).examples) == 1000
    assert "more than 1000 images" in refusal(make(kind, tiny))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_hundred_thousand_members_are_refused(refusal, kind):
    if kind == "zip":
        data = zip_of(local(b"x", 0, 0, 0, 0), [entry(b"%05d" % k, 0, 0, 0, 0, 0) for k in range(100_000)])
    else:
        data = b"".join(tarfile.TarInfo(f"{k}.txt").tobuf() for k in range(11_000))  # it is read no further
    assert "more than 10000 members" in refusal(data)


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    for name, data in GOOD:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(dataset.InputError, match="more than 3 files"):
        list(archive.dataset_files(tmp_path))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_with_changed_bytes_are_read_or_refused(read, kind):
    whole = make(kind, [*images(3), ("0001.txt", b"one")])
    outcomes = set()
    for k in range(0, len(whole), max(1, len(whole) // 200)):
        changed = whole[:k] + bytes([whole[k] ^ 0x51]) + whole[k + 1 :]
        try:
            outcomes.add(len(read.bytes(changed).examples))
        except dataset.InputError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_an_archive_of_names_and_nothing_else(refusal):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.mkdir("empty")
    assert "at least 3 images that can be used, not 0 images. Add images." in refusal(stream.getvalue())
