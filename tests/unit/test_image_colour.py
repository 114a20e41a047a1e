"""The colours that a file means: its gamma, its profile at all of its bits, and a warning for what is not converted."""

import struct
import zlib

import numpy as np
import pytest

from tests.support.picture_files import (
    P3,
    encoded,
    four_corners,
    icc_profile,
    icc_tag,
    png_chunk,
    read,
    s15f16,
    text_tags,
)
from tests.support.read_images import read_image


def grey_png(values, depth, *chunks, channels=1):
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    kind = ">u2" if depth == 16 else "u1"
    top = 2**depth - 1
    rows = np.stack([np.asarray(values)] * min(channels, 3 if channels > 2 else 1), axis=-1)
    if channels in (2, 4):
        rows = np.concatenate([rows, np.full((len(values), 1), top)], axis=-1)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", len(values), 1, depth, colour_type, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" + rows.astype(kind).tobytes()))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *chunks, pixels, png_chunk(b"IEND", b"")])


def gamma_chunk(gamma):
    return png_chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("gamma", [1.0, 0.7, 0.3])
def test_gamma_of_a_png_is_honoured(write, channels, depth, gamma):
    top = 2**depth - 1
    light = np.array([0.0, 0.01, 0.1, 0.2, 0.5, 1.0])
    seen = read(write, grey_png((light**gamma * top).round(), depth, gamma_chunk(gamma), channels=channels))
    expected = (light ** (1 / 2.2) * 255).round()
    steps = 1 if depth == 16 else 8  # 8 bits of linear light are coarse in the dark
    assert np.abs(np.asarray(seen)[0, :, 0] - expected).max() <= steps
    assert seen.getpixel((5, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    "chunks",
    [
        (gamma_chunk(1 / 2.2),),
        (gamma_chunk(0.46),),
        (gamma_chunk(1.0), png_chunk(b"sRGB", b"\0")),
        (png_chunk(b"sRGB", b"\0"), gamma_chunk(1.0)),
        (),
    ],
)
def test_gamma_of_srgb_or_beside_srgb_changes_nothing(write, chunks):
    values = [0, 20, 100, 200, 255]
    assert np.asarray(read(write, grey_png(values, 8, *chunks)))[0, :, 0].tolist() == values


def para(kind, *values):
    return icc_tag(b"para", struct.pack(">HH", kind, 0) + s15f16(*values))


def table(values):
    return icc_tag(b"curv", struct.pack(">I", len(values)) + np.asarray(values, ">u2").tobytes())


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
CURVES = {
    "linear": (icc_tag(b"curv", struct.pack(">I", 0)), lambda v: v),
    "linear by a table": (table([0, 65535]), lambda v: v),
    "linear by a formula": (para(0, 1), lambda v: v),
    "a gamma of 1.8": (icc_tag(b"curv", struct.pack(">IH", 1, round(1.8 * 256))), lambda v: v**1.8),
    "a table": (table((np.linspace(0, 1, 1000) ** 1.5 * 65535).round()), lambda v: v**1.5),
    "sRGB's formula": (
        para(3, *SRGB_CURVE),
        lambda v: np.where(v >= 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92),
    ),
    "a formula of seven numbers": (para(4, *SRGB_CURVE, 0, 0), lambda v: CURVES["sRGB's formula"][1](v)),
    "a formula of three": (para(1, 2, 1, 0), lambda v: v**2),
    "a formula of four": (para(2, 2, 0.9, 0.1, 0), lambda v: (0.9 * v + 0.1) ** 2),
}


def profile_of(curve, grey=False):
    profile = {**text_tags()}
    if grey:
        return icc_profile(b"GRAY", {**profile, b"kTRC": curve})
    columns = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))  # sRGB's, D50
    colourants = {
        name: icc_tag(b"XYZ ", s15f16(*c)) for name, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    return icc_profile(b"RGB ", {**profile, **colourants, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)})


def srgb(light):
    return (np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255).round()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("curve", "to_light"), CURVES.values(), ids=CURVES)
def test_a_profile_is_applied_before_sixteen_bits_become_eight(write, channels, curve, to_light):
    values = np.array([0.0, 0.0005, 0.002, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0])
    profile = profile_of(curve, grey=channels < 3)
    chunk = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    seen = np.asarray(read(write, grey_png((values * 65535).round(), 16, chunk, channels=channels)))[0]
    assert np.abs(seen[:, 1] - srgb(to_light(values))).max() <= 3, (seen[:, 1], srgb(to_light(values)))


def test_a_profile_of_other_curves_or_a_broken_one_takes_the_high_bits(write):
    values = [0, 0x1234, 0x8000, 0xFFFF]
    for profile in (b"", P3[:200], profile_of(b"curv" + bytes(4) + b"\xff" * 4), profile_of(para(9, 1)), b"x" * 600):
        chunk = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
        seen = np.asarray(read(write, grey_png(values, 16, chunk, channels=3)))[0, :, 0].tolist()
        assert seen == [0, 0x12, 0x80, 0xFF], profile[:20]


def test_colours_at_sixteen_bits_are_those_at_eight(write):
    image = four_corners()
    chunk = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(P3))
    rows = (np.asarray(image).astype(">u2") * 257).reshape(48, -1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    eight = np.asarray(read(write, encoded(image, "PNG", icc_profile=P3))).astype(int)
    assert np.abs(np.asarray(read(write, data)) - eight).max() <= 1


def warnings_of(path):
    said = []
    read_image("image", path, said.append)
    return said


@pytest.mark.parametrize(
    ("cicp", "space"),
    [
        ((9, 16), "HDR (PQ)"),
        ((9, 18), "HDR (HLG)"),
        ((1, 16), "HDR (PQ)"),
        ((12, 13), "Display P3"),
        ((9, 14), "BT.2020"),
    ],
)
def test_colours_that_are_not_converted_are_told(write, cicp, space):
    chunk = png_chunk(b"cICP", bytes([*cicp, 0, 1]))
    (said,) = warnings_of(write(grey_png([0, 99], 8, chunk, channels=3)))
    assert said.startswith(f"image is in {space}, which is read as if it were sRGB")
    avif = encoded(four_corners(), "AVIF")
    at = avif.index(b"colrnclx") + 8
    (said,) = warnings_of(write(avif[:at] + struct.pack(">HH", *cicp) + avif[at + 4 :]))
    assert said.startswith(f"image is in {space}")


@pytest.mark.parametrize("cicp", [(1, 13), (1, 1), (2, 2), (1, 8)])
def test_of_ordinary_colours_nothing_is_said(write, cicp):
    assert warnings_of(write(grey_png([0, 99], 8, png_chunk(b"cICP", bytes([*cicp, 0, 1])), channels=3))) == []
    assert warnings_of(write(encoded(four_corners(), "PNG", icc_profile=P3))) == []
    assert [warnings_of(write(encoded(four_corners(), format))) for format in ("JPEG", "AVIF", "HEIC")] == [[]] * 3
