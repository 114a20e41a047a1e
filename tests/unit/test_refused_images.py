"""Images that are refused: other kinds, too large, cut off."""

import gc
import re
import struct
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from easel.images.decode import ACCEPTED, MAX_BYTES, MAX_PIXELS
from tests.support.input_images_common import cut
from tests.support.picture_files import (
    CORNERS,
    FORMATS,
    LONG,
    SHORT,
    assert_near,
    corners,
    encoded,
    four_corners,
    png,
    png_chunk,
    read,
    refusal,
)
from tests.support.read_images import image_size, read_image, read_mask


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


@pytest.mark.slow
@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_picture_of_as_many_pixels_as_are_accepted_has_a_size(write, format):
    path = write(encoded(Image.new("1" if format == "PNG" else "L", (10000, 5000)), format))
    assert MAX_PIXELS == 10000 * 5000
    assert image_size("image", path) == (10000, 5000)


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
