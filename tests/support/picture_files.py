"""Image files of every kind that is accepted, made as their specifications have it, and how tests read them."""

import io
import struct
import zlib

import pytest
from PIL import Image
from pillow_heif import from_pillow

from easel.errors import InputError
from tests.support.read_images import image_size, read_image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC")
WITH_EXIF = tuple(format for format in FORMATS if format != "GIF")
WITH_ALPHA = tuple(format for format in FORMATS if format != "JPEG")
WITH_PROFILE = WITH_EXIF
OPTIONS = {"JPEG": {"quality": 95, "subsampling": "4:4:4"}, "WEBP": {"lossless": True}, "AVIF": {"quality": 95}}
RED, GREEN, BLUE, YELLOW = (220, 30, 40), (20, 160, 60), (30, 50, 200), (230, 210, 40)
CORNERS = (RED, GREEN, BLUE, YELLOW)  # top left, top right, bottom left, bottom right
SHORT, LONG = 48, 64
# Where each corner of the stored image is seen; Exif 2.32, 4.6.4, tag 0x0112: 1 is as stored.
SEEN = {
    1: (0, 1, 2, 3),
    2: (1, 0, 3, 2),
    3: (3, 2, 1, 0),
    4: (2, 3, 0, 1),
    5: (0, 2, 1, 3),
    6: (2, 0, 3, 1),
    7: (3, 1, 2, 0),
    8: (1, 3, 0, 2),
}


def four_corners(mode="RGB", size=(LONG, SHORT)):
    image = Image.new("RGB", size)
    width, height = size[0] // 2, size[1] // 2
    for k, colour in enumerate(CORNERS):
        image.paste(colour, (k % 2 * width, k // 2 * height, (k % 2 + 1) * width, (k // 2 + 1) * height))
    return image.convert(mode)


def encoded(image, format, **options):
    options = {**OPTIONS.get(format, {}), **options}
    file = io.BytesIO()
    if format == "HEIC":
        from_pillow(image).save(file, **{"quality": 95, "chroma": 444, **options})
    else:
        image.save(file, format, **options)
    return file.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour_type, rows, *chunks, after=()):
    """A PNG as its specification has it, for the kinds of pixels that Pillow does not write."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *chunks, pixels, *after, png_chunk(b"IEND", b"")])


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def icc_tag(kind, data):
    return kind + bytes(4) + data + bytes(-len(data) % 4)


def s15f16(*values):
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def icc_profile(space, tags):
    """A display profile of ICC.1:2001-04 (version 2): header of 128 bytes, table of tags, tags."""
    table, body = b"", b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data
    size = 132 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s12s4s28s", size, b"", 0x02400000, b"mntr", space, b"XYZ ", b"", b"acsp", b"")
    white = s15f16(0.9642, 1, 0.8249)  # D50
    return (header + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def text_tags():
    return {
        b"desc": icc_tag(b"desc", struct.pack(">I", 5) + b"test\0" + bytes(78)),
        b"cprt": icc_tag(b"text", b"none\0"),
        b"wtpt": icc_tag(b"XYZ ", s15f16(0.9642, 1, 0.8249)),
    }


def gamma_tag(gamma):
    return icc_tag(b"curv", struct.pack(">IH", 1, round(gamma * 256)))


def rgb_profile(columns, gamma=2.2):
    colourants = {
        name: icc_tag(b"XYZ ", s15f16(*xyz)) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma_tag(gamma))
    return icc_profile(b"RGB ", {**text_tags(), **colourants, **curves})


# Colourants under D50, columns of red, green and blue: of Display P3 as in Apple's profile, of Adobe RGB as in Adobe's.
P3_COLUMNS = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_COLUMNS = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
P3, ADOBE = rgb_profile(P3_COLUMNS), rgb_profile(ADOBE_COLUMNS)
# XYZ under D50 to linear sRGB: B. Lindbloom, "RGB/XYZ Matrices", sRGB adapted by Bradford.
XYZ_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
GREY = icc_profile(b"GRAY", {**text_tags(), b"kTRC": gamma_tag(1.0)})


def cmyk_profile():
    """Any ink gives pure Lab blue-green; no ink gives white: enough to see that the profile was applied."""
    lut = struct.pack(">BBBx", 4, 3, 2) + s15f16(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    identity = struct.pack(">HH", 0, 65535)
    grid = [(65280, 32768, 32768) if k == 0 else (32640, 16384, 32768) for k in range(16)]  # L 100 and 50, a 0 and -64
    table = b"".join(struct.pack(">3H", *lab) for lab in grid)
    a2b = icc_tag(b"mft2", lut + identity * 4 + table + identity * 3)
    profile = bytearray(icc_profile(b"CMYK", {**text_tags(), b"A2B0": a2b}))
    profile[12:16], profile[20:24] = b"prtr", b"Lab "
    return bytes(profile)


def srgb_of_xyz(xyz):
    """IEC 61966-2-1: matrix, the nearest colour that there is, curve."""
    linear = [min(max(sum(m * v for m, v in zip(row, xyz, strict=True)), 0), 1) for row in XYZ_TO_SRGB]
    curved = [12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in linear]
    return tuple(round(255 * v) for v in curved)


def srgb_of_rgb(columns, rgb):
    light = [(channel / 255) ** 2.2 for channel in rgb]
    return srgb_of_xyz([sum(v * column[k] for v, column in zip(light, columns, strict=True)) for k in range(3)])


def srgb_of_lab(lightness, a, b):
    """CIE 15:2004, 8.2.1, under D50; for values that are not near black."""
    y = (lightness + 16) / 116
    return srgb_of_xyz([0.9642 * (y + a / 500) ** 3, y**3, 0.8249 * (y - b / 200) ** 3])


def read(write, data):
    path = write(data)
    image = read_image("image", path)
    assert image.mode == "RGB"
    assert image.size == image_size("image", path)
    return image


def corners(image):
    width, height = image.size
    places = [(x, y) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return tuple(image.getpixel(place) for place in places)


def assert_near(seen, expected, tolerance):
    seen, expected = ([channel for colour in colours for channel in colour] for colours in (seen, expected))
    assert max(abs(a - b) for a, b in zip(seen, expected, strict=True)) <= tolerance, (seen, expected)


def refusal(function, *arguments):
    with pytest.raises(InputError) as refused:
        function(*arguments)
    return str(refused.value)
