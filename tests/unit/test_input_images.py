"""Every accepted kind of file gives the same image: upright, on white, in sRGB. All others give a sentence."""

import gc
import re
import struct
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from easel.errors import InputError
from easel.images.decode import ACCEPTED, MAX_BYTES, MAX_PIXELS
from easel.images.input import fit_image, fit_mask
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
    refusal,
    rgb_profile,
    srgb_of_lab,
    srgb_of_rgb,
)
from tests.support.read_images import image_size, read_image, read_mask


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


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_first_picture_of_an_animation_is_taken(write, format):
    frames = [four_corners(), Image.new("RGB", (LONG, SHORT)), four_corners().transpose(Image.Transpose.ROTATE_180)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    assert_near(corners(read(write, data)), CORNERS, 6)


def test_first_picture_of_a_phone_with_several_is_taken(write):
    data = encoded(four_corners(), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))], quality=95)
    assert_near(corners(read(write, data)), CORNERS, 8)
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 5000  # what phones append to a moving image
    assert_near(corners(read(write, data + film)), CORNERS, 8)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (encoded(four_corners(), "TIFF"), "a TIFF"),
        (encoded(four_corners(), "BMP"), "a BMP"),
        (encoded(four_corners(), "ICO"), "an icon"),
        (b"8BPS\0\1" + bytes(20), "a Photoshop document"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing"),
        (b"<!DOCTYPE html><html><body><svg>", "an HTML page"),
        (b"\n<html>", "an HTML page"),
        (b'{"detail": "Not Found"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "plain text"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "an MP4 video or another ISO media file"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "an MP4 video or another ISO media file"),
        (b"\x1aE\xdf\xa3" + bytes(20), "a Matroska or WebM video"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
        (b"PK\3\4" + bytes(20), "a ZIP archive"),
        (bytes(100), "of an unknown kind"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
@pytest.mark.parametrize("function", [image_size, read_image])
def test_other_kind_of_file_is_named(write, function, data, what):
    assert refusal(function, "image", write(data)) == f"image: the file is {what}; {ACCEPTED} are accepted."


def test_messages_begin_with_the_inputs_name(write):
    assert refusal(read_mask, "mask", write(b""), (8, 8)).startswith("mask: the file is empty;")


def test_file_that_is_not_there_is_refused(tmp_path):
    assert refusal(read_image, "image", tmp_path / "none").startswith("image: the file cannot be read (No such file")
    assert refusal(read_image, "image", tmp_path).startswith("image: the file cannot be read (")


def test_file_of_too_many_bytes_is_refused_unread(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    message = "image: the file has 30.1 MB; at most 30 are accepted: make it smaller."
    assert refusal(image_size, "image", path) == message
    assert refusal(read_image, "image", path) == message


@pytest.mark.parametrize("function", [image_size, read_image])
def test_picture_of_too_many_pixels_is_refused_by_its_header(write, function):
    assert refusal(function, "image", write(png(12000, 9000, 8, 2, []))) == (
        "image: 12000 x 9000 pixels = 108 megapixels; at most 50 are accepted: make it smaller."
    )
    assert "= 50.01 megapixels" in refusal(function, "image", write(png(5000, 10001, 8, 2, [])))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_picture_of_as_many_pixels_as_are_accepted_has_a_size(write, format):
    path = write(encoded(Image.new("1" if format == "PNG" else "L", (10000, 5000)), format))
    assert MAX_PIXELS == 10000 * 5000
    assert image_size("image", path) == (10000, 5000)


def cut(data, format):
    """As far into the pixels as fits every format: their second half is missing."""
    return data[: len(data) // 2]


@pytest.mark.parametrize("format", FORMATS)
def test_file_that_is_cut_off_is_refused(write, format):
    noise = Image.effect_noise((LONG, SHORT), 90).convert("RGB")
    message = refusal(read_image, "image", write(cut(encoded(noise, format), format)))
    name = {"WEBP": "WebP"}.get(format, format)
    what = r"truncated or damaged \(.+\): send it again"
    if format in ("AVIF", "HEIC"):
        what = r"truncated or damaged, or of a kind that is not read here \(.+\): convert it to PNG"
    assert re.fullmatch(rf"image: the {name} file is {what}\.", message)


JPEG_KINDS = {
    "plain": ("RGB", {}),
    "half the colours": ("RGB", {"subsampling": "4:2:0"}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "progressive grey": ("L", {"progressive": True}),
    "inks": ("CMYK", {}),
    "restarts": ("RGB", {"restart_marker_blocks": 3}),
}


@pytest.mark.parametrize(("mode", "options"), JPEG_KINDS.values(), ids=JPEG_KINDS)
def test_jpeg_that_was_closed_too_early_is_refused(write, mode, options):
    """libjpeg would give the missing part in grey."""
    noise = Image.effect_noise((200, 150), 90).convert(mode)
    whole = encoded(noise, "JPEG", **options)
    assert read(write, whole).size == noise.size
    start = whole.index(b"\xff\xda")
    # A progressive JPEG's first scan, some 2% of it, has all blocks; what the later ones add is detail.
    for share in (0, 0.005, 0.01) if "progressive" in options else (0, 0.1, 0.5, 0.9, 0.99):
        data = whole[: start + 20 + int(share * (len(whole) - start - 20))].rstrip(b"\xff") + b"\xff\xd9"
        assert "(pixels are missing)" in refusal(read_image, "image", write(data)), share


@pytest.mark.parametrize(("mode", "options"), JPEG_KINDS.values(), ids=JPEG_KINDS)
@pytest.mark.parametrize("grey", [127, 128])
def test_jpeg_that_is_grey_is_no_jpeg_that_lacks_pixels(write, mode, options, grey):
    image = four_corners(size=(200, 150))
    image.paste((grey, grey, grey), (50, 50, 200, 150))
    seen = read(write, encoded(image.convert(mode), "JPEG", **options))
    assert_near([seen.getpixel((180, 140))], [(grey, grey, grey)], 2)


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_left_open_or_changed(write, format):
    limit, registered = Image.MAX_IMAGE_PIXELS, dict(Image.OPEN)
    path = write(encoded(four_corners(), format))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image_size("image", path)
        read_image("image", path)
        refusal(read_image, "image", write(path.read_bytes()[:50]))
        gc.collect()
    assert caught == []
    assert (limit, registered) == (Image.MAX_IMAGE_PIXELS, Image.OPEN)
    if sys.platform == "linux":
        assert str(path) not in [str(Path(link).resolve()) for link in Path("/proc/self/fd").iterdir()]


def test_warnings_of_a_decoder_stay_inside(write):
    control = png_chunk(b"acTL", struct.pack(">II", 0, 0))  # an animation of no frames: Pillow warns
    assert read(write, png(1, 1, 8, 0, [b"\x80"], control)).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_cancellation_passes(write, monkeypatch, stop):
    def load(self):
        raise stop

    monkeypatch.setattr(Image.Image, "copy", load)
    with pytest.raises(stop):
        read_image("image", write(encoded(four_corners(), "PNG")))


def test_heic_without_its_decoder_is_refused_in_a_sentence(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    message = refusal(read_image, "image", write(encoded(four_corners(), "HEIC")))
    assert message == "image: HEIC cannot be read on this machine: send a JPEG or PNG."
    assert read(write, encoded(four_corners(), "AVIF")).size == (LONG, SHORT)


def mask_of(size=(LONG, SHORT), box=(8, 8, 24, 24)):
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def values(mask):
    assert mask.mode == "L"
    return {value for _, value in mask.getcolors()}


@pytest.mark.parametrize("format", FORMATS)
def test_mask_is_black_and_white(write, format):
    mask = read_mask("mask", write(encoded(mask_of().convert("RGB"), format)), (LONG, SHORT))
    assert values(mask) == {0, 255}
    assert mask.getbbox() == (8, 8, 24, 24)


@pytest.mark.parametrize(("grey", "white"), [(127, 0), (128, 255), (129, 255)])
def test_mask_is_white_from_mid_grey_on(write, grey, white):
    image = Image.new("L", (2, 1), 255)
    image.putpixel((0, 0), grey)
    assert read_mask("mask", write(encoded(image, "PNG")), (2, 1)).getpixel((0, 0)) == white


def test_transparent_part_of_a_mask_is_kept(write):
    image = Image.new("RGBA", (LONG, SHORT), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (0, 0, 10, 10))
    assert read_mask("mask", write(encoded(image, "PNG")), image.size).getbbox() == (0, 0, 10, 10)


def test_mask_is_turned_like_an_image(write):
    mask = read_mask("mask", write(encoded(mask_of(), "PNG", exif=exif(6))), (SHORT, LONG))
    assert mask.getbbox() == (SHORT - 24, 8, SHORT - 8, 24)


def test_profile_does_not_move_the_border_of_a_mask(write):
    path = write(encoded(Image.new("L", (2, 2), 100), "PNG", icc_profile=GREY))  # 168 in sRGB
    assert "no pixel is white" in refusal(read_mask, "mask", path, (2, 2))


@pytest.mark.parametrize("factor", [0.5, 2, 5])
def test_mask_of_the_same_aspect_ratio_is_resized(write, factor):
    size = (round(LONG * factor), round(SHORT * factor))
    mask = read_mask("mask", write(encoded(mask_of(), "PNG")), size)
    assert mask.size == size
    assert values(mask) == {0, 255}
    assert mask.getbbox() == tuple(round(value * factor) for value in (8, 8, 24, 24))


def test_mask_whose_side_was_rounded_is_resized(write):
    assert read_mask("mask", write(encoded(mask_of((512, 341)), "PNG")), (4032, 2688)).size == (4032, 2688)


@pytest.mark.parametrize("size", [(SHORT, LONG), (LONG, LONG), (LONG * 100, SHORT * 98)])
def test_mask_of_another_aspect_ratio_is_refused(write, size):
    assert refusal(read_mask, "mask", write(encoded(mask_of(), "PNG")), size) == (
        f"mask: it is 64 x 48 pixels and the image {size[0]} x {size[1]}, another aspect ratio: make the mask as wide "
        "and as high as the image."
    )


def test_mask_without_white_is_refused(write):
    message = refusal(read_mask, "mask", write(encoded(Image.new("L", (8, 8), 127), "PNG")), (8, 8))
    assert message.startswith("mask: no pixel is white. White is painted anew")


def test_mask_that_is_all_white_is_accepted(write):
    assert values(read_mask("mask", write(encoded(Image.new("1", (8, 8), 1), "PNG")), (8, 8))) == {255}


@pytest.mark.parametrize(
    ("size", "target", "box"),
    [
        ((400, 200), (100, 100), (100, 0, 300, 200)),
        ((200, 400), (100, 100), (0, 100, 200, 300)),
        ((400, 200), (200, 100), (0, 0, 400, 200)),
        ((100, 100), (64, 48), (0, 12.5, 100, 87.5)),
        ((401, 200), (100, 100), (100.5, 0, 300.5, 200)),
    ],
)
def test_fit_takes_the_largest_centred_box(size, target, box):
    ramp = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", [ramp, ramp.transpose(Image.Transpose.ROTATE_180), ramp])
    expected = image.resize(target, Image.Resampling.LANCZOS, box=box)
    assert fit_image(image, *target).tobytes() == expected.tobytes()


def test_fit_of_any_size_to_any_other_works():
    sides = (1, 2, 3, 7, 64, 333, 1000, 4033)
    for size in [(width, height) for width in sides for height in sides]:
        image = Image.new("L", size)
        for target in ((64, 64), (1, 9), (1024, 576), (333, 1000)):
            assert fit_image(image, *target).size == target


def test_fit_cuts_mask_and_image_alike():
    mask = mask_of((401, 200), (150, 50, 250, 150))
    image = Image.merge("RGB", [mask] * 3)
    fitted, cut = fit_mask(mask, 96, 64)
    assert not cut
    assert values(fitted) == {0, 255}
    grey = fit_image(image, 96, 64).convert("L")
    assert fitted.tobytes() == grey.point(lambda value: 255 * (value >= 128)).tobytes()


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1024, 1024), (100, 499, 901, 502)),  # 3 pixels high, and 8 of them become one
        ((1024, 1024), (511, 0, 512, 1024)),
        ((1024, 1024), (0, 0, 1, 1)),
        ((1024, 1024), (1023, 1023, 1024, 1024)),
        ((4000, 3000), (2000, 100, 2001, 2900)),
    ],
)
def test_no_white_of_a_mask_is_lost_when_it_shrinks(size, box):
    mask = mask_of(size, box)
    fitted, cut = fit_mask(mask, *(128 * side // max(size) or 1 for side in size))
    assert not cut
    assert values(fitted) == {0, 255}
    scale = max(size) / 128
    left, top, right, bottom = fitted.getbbox()
    assert (left, top) == (int(box[0] / scale), int(box[1] / scale))
    assert right - left <= (box[2] - box[0]) / scale + 2
    assert bottom - top <= (box[3] - box[1]) / scale + 2


def test_every_single_white_pixel_is_found_again_where_it_was():
    for x in range(0, 100, 7):
        fitted, _ = fit_mask(mask_of((100, 60), (x, 30, x + 1, 31)), 30, 18)
        left, top, right, bottom = fitted.getbbox()
        assert (left, right, top, bottom) == (int((x + 0.5) * 0.3), int((x + 0.5) * 0.3) + 1, 9, 10)


def test_a_thin_stroke_of_a_larger_mask_than_its_image_is_kept(write):
    path = write(encoded(mask_of((1024, 1024), (0, 500, 1024, 502)), "PNG"))
    assert read_mask("mask", path, (64, 64)).getbbox() == (0, 31, 64, 32)


@pytest.mark.parametrize(
    ("box", "size"),
    [((0, 0, 151, 256), (128, 128)), ((600, 0, 640, 256), (128, 128)), ((0, 0, 640, 20), (320, 32))],
)
def test_a_mask_whose_white_is_all_cut_off_is_refused_with_the_way_out(box, size):
    with pytest.raises(
        InputError, match="all of the mask's white lies in what is cut off. Set aspect_ratio to match_in"
    ):
        fit_mask(mask_of((640, 256), box), *size)


@pytest.mark.parametrize(
    ("box", "cut"), [((100, 0, 300, 256), True), ((192, 0, 448, 256), False), ((0, 9, 640, 10), True)]
)
def test_a_mask_of_which_a_part_is_cut_off_is_told(box, cut):
    assert fit_mask(mask_of((640, 256), box), 128, 128)[1] is cut
