"""Metadata never sinks sound pixels: what a file says besides them may be broken, large, or left out."""

import random
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.support.picture_files import (
    FORMATS,
    P3,
    encoded,
    exif,
    four_corners,
    png_chunk,
    read,
    refusal,
)
from tests.support.read_images import read_image, read_mask

GOOD = encoded(four_corners(), "PNG")
PIXELS_AT = GOOD.index(b"IDAT") - 4


def with_chunk(data, before=b"IDAT"):
    at = GOOD.index(before) - 4
    return GOOD[:at] + data + GOOD[at:]


def wrong_checksum(kind, body):
    return png_chunk(kind, body)[:-1] + b"?"


def wrong_length(kind, body, by):
    chunk = png_chunk(kind, body)
    return struct.pack(">I", (len(body) + by) % 2**32) + chunk[4:]


ODD_CHUNKS = {
    "text that unpacks to 2 MB": png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2_000_000)),
    "international text of 2 MB": png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"a" * 2_000_000)),
    "plain text of 2 MB": png_chunk(b"tEXt", b"a\0" + b"b" * 2_000_000),
    "text that is no zlib": png_chunk(b"zTXt", b"a\0\0nothing"),
    "profile that is no zlib": png_chunk(b"iCCP", b"a\0\0nothing"),
    "profile of 6 MB": png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(6_000_000))),
    "short pHYs": png_chunk(b"pHYs", b"\0\0"),
    "short gAMA": png_chunk(b"gAMA", b"\0"),
    "gAMA of zero": png_chunk(b"gAMA", bytes(4)),
    "short cHRM": png_chunk(b"cHRM", b"\0" * 5),
    "empty sRGB": png_chunk(b"sRGB", b""),
    "short acTL": png_chunk(b"acTL", b"\0"),
    "fcTL of nothing": png_chunk(b"fcTL", bytes(26)),
    "unknown": png_chunk(b"abCd", b"x" * 99),
    **{
        f"wrong checksum of {kind.decode()}": wrong_checksum(kind, b"x" * 30)
        for kind in (b"iCCP", b"tEXt", b"zTXt", b"gAMA", b"pHYs", b"eXIf", b"tIME", b"abCd", b"tRNS")
    },
    **{f"length wrong by {by}": wrong_length(b"tEXt", b"a\0" + b"b" * 20, by) for by in (-20, -1, 1, 5, 1000, 2**31)},
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("chunk", ODD_CHUNKS.values(), ids=ODD_CHUNKS)
def test_no_ancillary_chunk_of_a_png_sinks_its_pixels(write, chunk, before):
    assert read(write, with_chunk(chunk, before)).tobytes() == read(write, GOOD).tobytes()


@pytest.mark.slow
def test_any_byte_of_the_metadata_may_be_wrong(write):
    info = PngInfo()
    info.add_text("Comment", "made somewhere " * 9, zip=True)
    info.add_itxt("Title", "four corners")
    data = encoded(four_corners(), "PNG", pnginfo=info, dpi=(72, 72), icc_profile=P3)
    expected = {read(write, data).tobytes(), read(write, GOOD).tobytes()}  # with the profile, or without
    rng = random.Random(14)
    end = data.index(b"IDAT") - 4
    for _ in range(200):
        at = rng.randrange(33, end)
        broken = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        if not has_critical(broken):
            assert read(write, broken).tobytes() in expected, at


def has_critical(data):
    """Whether the flip has made a critical chunk, which no reader may skip."""
    at = 33
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            return False
        if not kind.isalpha() or kind[:1].isupper():
            return True
        at += length + 12
    return False


@pytest.mark.parametrize(("entries", "given"), [(4, 5), (4, 256), (2, 300)])
def test_transparency_longer_than_the_palette_is_cut_to_it(write, entries, given):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0] * entries)
    data = encoded(image, "PNG")
    at = data.index(b"IDAT") - 4
    alphas = bytes([255, 0]) + bytes([128]) * (given - 2)
    seen = read(write, data[:at] + png_chunk(b"tRNS", alphas) + data[at:])
    assert seen.getpixel((4, 4)) == (255, 255, 255), "entry 1 is transparent"


def jpeg_with(segment):
    data = encoded(four_corners(), "JPEG")
    return data[:2] + segment + data[2:]


def segment(marker, body, length=None):
    return bytes([255, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


SHORT_SEGMENTS = {
    "JFIF of 5 bytes": segment(0xE0, b"JFIF\0"),
    "JFIF of 7 bytes": segment(0xE0, b"JFIF\0\1\2"),
    "Adobe of 5 bytes": segment(0xEE, b"Adobe"),
    "Adobe of 6 bytes": segment(0xEE, b"Adobe\0"),
    "profile without a number": segment(0xE2, b"ICC_PROFILE\0"),
    "profile without a count": segment(0xE2, b"ICC_PROFILE\0\1"),
    "profile with half of its parts": segment(0xE2, b"ICC_PROFILE\0\1\2" + b"x" * 50),
    "profile of nothing": segment(0xE2, b"ICC_PROFILE\0\1\1"),
    "EXIF of nothing": segment(0xE1, b"Exif\0\0"),
    "EXIF that is cut off": segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
    "Photoshop that is cut off": segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\xff\xff"),
    "MPF that is cut off": segment(0xE2, b"MPF\0II"),
    "empty comment": segment(0xFE, b""),
    "segment of no length": segment(0xE5, b""),
}


@pytest.mark.parametrize("odd", SHORT_SEGMENTS.values(), ids=SHORT_SEGMENTS)
def test_no_short_segment_of_a_jpeg_sinks_its_pixels(write, odd):
    whole = read(write, encoded(four_corners(), "JPEG"))
    assert read(write, jpeg_with(odd)).tobytes() == whole.tobytes()


JPEG_KINDS = {
    "plain": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "half the colours": {"subsampling": "4:2:0"},
}


@pytest.mark.parametrize("options", JPEG_KINDS.values(), ids=JPEG_KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_lacks_only_its_end_is_whole(write, mode, options):
    noise = Image.effect_noise((200, 150), 90).convert(mode)
    whole = encoded(noise, "JPEG", **options)
    assert whole.endswith(b"\xff\xd9")
    for end in (-2, -1):
        assert read(write, whole[:end]).tobytes() == read(write, whole).tobytes()
    for share in (0.3, 0.9):
        sentence = refusal(read_image, "image", write(whole[: int(share * len(whole))]))
        assert "truncated or damaged" in sentence


@pytest.mark.parametrize("keep", [1, 2])
def test_a_progressive_jpeg_that_lacks_scans_and_its_end_is_refused(write, keep):
    whole = encoded(Image.effect_noise((64, 64), 90), "JPEG", progressive=True)
    starts = [at for at in range(len(whole)) if whole[at : at + 2] in (b"\xff\xda", b"\xff\xc4")]
    scans = [at for at in starts if whole[at + 1] == 0xDA]
    following = next(at for at in starts if at > scans[keep - 1])
    assert "it has no end" in refusal(read_image, "image", write(whole[:following]))


def test_an_arithmetic_jpeg_that_ends_in_grey_is_whole(write):
    assert read(write, ARITHMETIC_GREY).getpixel((15, 15)) == (128, 128, 128)
    assert "truncated or damaged" in refusal(read_image, "image", write(ARITHMETIC_GREY[:-2]))


def arithmetic_grey():
    """A grey JPEG of 16 x 16 in arithmetic coding, which needs no bytes for what it expects (T.81, D)."""
    quant = segment(0xDB, b"\0" + b"\1" * 64)
    frame = segment(0xC9, struct.pack(">BHHB", 8, 16, 16, 1) + b"\1\x11\0")
    scan = segment(0xDA, b"\1\1\0\0\x3f\0")
    return b"\xff\xd8" + quant + frame + scan + b"\4" + b"\xff\xd9"


ARITHMETIC_GREY = arithmetic_grey()


@pytest.mark.parametrize("kind", ["EXIF", "XMP "])
@pytest.mark.parametrize("change", [lambda c: c[:-4], lambda c: c[:4] + b"\xff\xff\xff\x7f" + c[8:], lambda c: c[:9]])
def test_metadata_behind_the_pixels_of_a_webp_may_be_cut_off(write, kind, change):
    data = encoded(four_corners(), "WEBP", exif=exif(1), xmp=b"<x/>" * 20)
    at = data.index(kind.encode(), 30)
    assert read(write, data[:at] + change(data[at:])).tobytes() == read(write, data).tobytes()


def said(format):
    """A file of the format with all the metadata that it can hold."""
    options = {"exif": exif(1), "icc_profile": b"no profile at all", "xmp": b"<secret/>"}
    if format == "PNG":
        info = PngInfo()
        info.add_text("Comment", "secret")
        return {"pnginfo": info, "dpi": (72, 72), "exif": exif(1), "icc_profile": options["icc_profile"]}
    if format == "GIF":
        return {"comment": b"secret", "loop": 3}
    if format == "JPEG":
        return options | {"comment": b"secret", "dpi": (72, 72)}
    return options if format != "HEIC" else {"exif": exif(1), "xmp": b"<secret/>"}


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_of_the_file_but_its_pixels_goes_on(write, tmp_path, format):
    path = write(encoded(four_corners(), format, **said(format)))
    image = read_image("image", path)
    assert image.info == {}
    assert image.resize((8, 8)).info == {}
    assert read_mask("mask", path, image.size).info == {}
    for suffix in ("png", "jpg", "webp", "gif"):
        image.save(tmp_path / f"out.{suffix}")
        saved = (tmp_path / f"out.{suffix}").read_bytes()
        assert b"secret" not in saved
        assert b"no profile" not in saved
