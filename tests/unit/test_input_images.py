"""Images that callers send: formats, orientation, transparency, colours."""

import struct

import pytest
from PIL import Image, ImageOps

from tests.support.picture_files import (
    ADOBE_COLUMNS,
    BLUE,
    CORNERS,
    FORMATS,
    GREEN,
    GREY,
    LONG,
    P3,
    P3_COLUMNS,
    RED,
    SEEN,
    SHORT,
    WITH_ALPHA,
    WITH_EXIF,
    WITH_PROFILE,
    YELLOW,
    assert_near,
    cmyk_profile,
    corners,
    encoded,
    exif,
    four_corners,
    png,
    png_chunk,
    read,
    rgb_profile,
    srgb_of_lab,
    srgb_of_rgb,
)
from tests.support.read_images import image_size, read_image


@pytest.mark.parametrize("format", FORMATS)
def test_picture_of_every_format_is_read(write, format):
    image = read(write, encoded(four_corners(), format))
    assert image.size == (LONG, SHORT)
    assert_near(corners(image), CORNERS, 6)


@pytest.mark.parametrize("format", FORMATS)
def test_format_is_told_by_content_and_not_by_name(write, format):
    path = write(encoded(four_corners(), format), "image.bmp")
    assert image_size("image", path) == read_image("image", path).size == (LONG, SHORT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", WITH_EXIF)
def test_picture_is_turned_upright_once(write, format, orientation):
    image = read(write, encoded(four_corners(), format, exif=exif(orientation)))
    assert image.size == ((SHORT, LONG) if orientation > 4 else (LONG, SHORT))
    assert_near(corners(image), [CORNERS[k] for k in SEEN[orientation]], 6)


def test_exif_behind_the_pixels_of_a_png_turns_the_picture(write):
    rows = [bytes(RED + GREEN)] * 2 + [bytes(BLUE + YELLOW)] * 2
    tags = png_chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0"))
    image = read(write, png(2, 4, 8, 2, rows, after=[tags]))
    assert image.size == (4, 2)
    assert corners(image) == tuple(CORNERS[k] for k in SEEN[6])


@pytest.mark.parametrize(
    "tags", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*" + b"\xff" * 30, exif(0), exif(9), exif(2**16 - 1)]
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_no_exif(write, format, tags):
    assert_near(corners(read(write, encoded(four_corners(), format, exif=tags))), CORNERS, 6)


@pytest.mark.parametrize("format", WITH_ALPHA)
def test_transparent_is_white(write, format):
    image = four_corners("RGBA")
    image.putalpha(Image.new("L", image.size, 255))
    image.paste((0, 0, 0, 0), (0, 0, LONG // 2, SHORT // 2))
    assert_near(corners(read(write, encoded(image, format))), [(255, 255, 255), *CORNERS[1:]], 6)


@pytest.mark.parametrize("format", [format for format in WITH_ALPHA if format != "GIF"])
def test_half_transparent_is_half_white(write, format):
    image = four_corners("RGBA")
    image.putalpha(51)  # a fifth
    expected = [tuple(round(204 + channel / 5) for channel in colour) for colour in CORNERS]
    assert_near(corners(read(write, encoded(image, format))), expected, 3)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(4, 1, 2, 0, [b"\x1b"], png_chunk(b"tRNS", b"\0\1")), [0, 255, 170, 255]),
        (png(4, 1, 8, 0, [b"\0\x55\xaa\xf0"], png_chunk(b"tRNS", b"\0\x55")), [0, 255, 170, 240]),
        (png(8, 1, 1, 0, [b"\x1b"], png_chunk(b"tRNS", b"\0\0")), [255] * 8),
        (png(4, 1, 16, 0, [struct.pack(">4H", 0, 257, 30000, 65535)], png_chunk(b"tRNS", b"\0\0")), [255, 1, 117, 255]),
        (png(4, 1, 8, 4, [b"\0\xff\0\0\0\x80\xff\xff"]), [0, 255, 127, 255]),
        (png(2, 1, 16, 4, [struct.pack(">4H", 25700, 65535, 0, 0)]), [100, 255]),
    ],
    ids=["2 bits", "8 bits", "1 bit", "16 bits", "grey and alpha", "16-bit grey and alpha"],
)
def test_transparency_of_a_grey_png_of_any_depth(write, data, expected):
    assert list(read(write, data).getchannel("G").tobytes()) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour_of_a_png(write, depth):
    unit = {8: "B", 16: "H"}[depth]
    scale = {8: 1, 16: 257}[depth]
    row = struct.pack(f">6{unit}", *(value * scale for value in (*RED, *GREEN)))
    image = read(write, png(2, 1, depth, 2, [row], png_chunk(b"tRNS", struct.pack(">3H", *(v * scale for v in RED)))))
    assert (image.getpixel((0, 0)), image.getpixel((1, 0))) == ((255, 255, 255), GREEN)


@pytest.mark.parametrize("alphas", [b"\0", b"\x33\xff", b"\xff\0"])
def test_transparency_of_a_palette(write, alphas):
    data = png(2, 1, 8, 3, [b"\0\1"], png_chunk(b"PLTE", bytes(RED + GREEN)), png_chunk(b"tRNS", alphas))
    image = read(write, data)
    for x, colour in enumerate((RED, GREEN)):
        alpha = alphas.ljust(2, b"\xff")[x]
        expected = tuple(round(255 + (channel - 255) * alpha / 255) for channel in colour)
        assert image.getpixel((x, 0)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_scaled_and_not_clipped(write, colour_type, channels):
    opaque = {4: [65535], 6: [65535]}.get(colour_type, [])
    row = b"".join(struct.pack(f">{channels}H", *[v * 257] * (channels - len(opaque)), *opaque) for v in range(256))
    for channel in read(write, png(256, 1, 16, colour_type, [row])).split():
        assert list(channel.tobytes()) == pytest.approx(list(range(256)), abs=1)


@pytest.mark.parametrize(
    ("format", "mode"),
    [("PNG", "1"), ("PNG", "L"), ("PNG", "P"), ("JPEG", "L"), ("GIF", "P"), ("GIF", "L"), ("PNG", "LA")],
)
def test_few_colours_are_read(write, format, mode):
    image = four_corners(mode)
    assert_near(corners(read(write, encoded(image, format))), corners(image.convert("RGB")), 4)


def test_cmyk_jpeg_is_read(write):
    image = four_corners("CMYK")
    data = encoded(image, "JPEG")
    assert b"Adobe" in data  # with inverted inks, as Photoshop writes it
    assert_near(corners(read(write, data)), CORNERS, 6)


def test_ycck_jpeg_is_read(write):
    """YCCK is CMY, taken for RGB, as YCbCr, and K; the last byte of Adobe's marker says so (Adobe TN 5116)."""
    ycc = ImageOps.invert(four_corners()).convert("YCbCr")
    inks = [channel.point(lambda value: 255 - value) for channel in ycc.split()]  # Pillow inverts what it writes
    data = bytearray(encoded(Image.merge("CMYK", [*inks, Image.new("L", ycc.size)]), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    assert_near(corners(read(write, bytes(data))), CORNERS, 6)


@pytest.mark.parametrize("format", WITH_PROFILE)
@pytest.mark.parametrize("columns", [P3_COLUMNS, ADOBE_COLUMNS], ids=["P3", "Adobe RGB"])
@pytest.mark.parametrize("stored", [(200, 100, 100), (100, 200, 100), (255, 0, 0), (128, 128, 128)])
def test_colours_of_a_profile_become_srgb(write, format, columns, stored):
    data = encoded(Image.new("RGB", (32, 32), stored), format, icc_profile=rgb_profile(columns))
    expected = srgb_of_rgb(columns, stored)
    assert_near([read(write, data).getpixel((9, 9))], [expected], 5)
    if len(set(stored)) > 1 and stored != (255, 0, 0):
        assert max(abs(a - b) for a, b in zip(stored, expected, strict=True)) > 12  # so it does matter


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_profile_holds_for_palette_and_transparent_pictures(write, mode):
    stored = (200, 100, 100)
    image = Image.new("RGB", (8, 8), stored)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    seen = read(write, encoded(image, "PNG", icc_profile=P3)).getpixel((3, 3))
    assert_near([seen], [srgb_of_rgb(P3_COLUMNS, stored)], 1)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profile_becomes_srgb(write, mode):
    image = read(write, encoded(Image.new("L", (8, 8), 55).convert(mode), "PNG", icc_profile=GREY))
    assert_near([image.getpixel((3, 3))], [(128, 128, 128)], 2)  # 55 / 255 of the light is sRGB's 128


def test_cmyk_profile_becomes_srgb(write):
    image = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (16, 0, 32, 32))
    left, right = (read(write, encoded(image, "JPEG", icc_profile=cmyk_profile())).getpixel((x, 16)) for x in (4, 28))
    assert_near([left, right], [(255, 255, 255), srgb_of_lab(50, -64, 0)], 2)


@pytest.mark.parametrize("format", WITH_PROFILE)
@pytest.mark.parametrize(
    "profile",
    [P3[:200], b"nonsense" * 40, P3.replace(b"rXYZ", b"zzzz"), GREY, cmyk_profile(), P3.replace(b"acsp", b"none")],
    ids=["cut", "nonsense", "no red", "of grey pixels", "of inks", "no signature"],
)
def test_profile_that_is_damaged_or_of_other_pixels_is_no_profile(write, format, profile):
    assert_near(corners(read(write, encoded(four_corners(), format, icc_profile=profile))), CORNERS, 6)


@pytest.mark.parametrize("profile", [P3, GREY, P3[:300]])
def test_profile_of_other_pixels_is_ignored_in_cmyk(write, profile):
    assert_near(corners(read(write, encoded(four_corners("CMYK"), "JPEG", icc_profile=profile))), CORNERS, 6)
