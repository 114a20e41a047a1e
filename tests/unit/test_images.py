"""Files that ordinary readers open: the pixels, and all that the image was made from."""

import json
import struct
from dataclasses import fields, replace

import pytest
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import get_sampling

from easel import __version__
from easel.images.encode import save_image
from easel.plan import Plan
from easel.request import MAX_PROMPT_CHARACTERS, OUTPUT_FORMATS, Request

APPLE = "\N{RED APPLE}"  # 4 bytes in UTF-8 and in UTF-16
DIGEST = "sha256:" + "0123456789abcdef" * 4
PLAN = Plan(
    model="tiny",
    prompt="a red apple",
    negative_prompt="leaves",
    width=64,
    height=48,
    seeds=(2**32 - 1, 0),
    num_inference_steps=8,
    guidance_scale=3.5,
    output_format="png",
    output_quality=80,
)


@pytest.fixture(scope="module")
def picture():
    """A smooth ground with a hard red edge, RGB, 64 x 48."""
    image = Image.merge("RGB", [Image.linear_gradient("L").resize((64, 48)).rotate(90 * k) for k in range(3)])
    image.paste((255, 0, 0), (21, 11, 43, 37))
    return image


def metadata(**changes):
    return {**PLAN.metadata(0, DIGEST), **changes}


def saved(path, picture, quality=80, **changes):
    save_image(picture, path, quality, metadata(**changes))
    with Image.open(path) as image:
        image.load()
    return image


def read_exif(image):
    """(prompt, software, all of the metadata), decoded by the byte order that the file's own EXIF declares."""
    tags = image.getexif()
    comment = tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment[:8] == b"UNICODE\0"
    order = image.info["exif"].removeprefix(b"Exif\0\0")[:2]
    text = comment[8:].decode({b"MM": "utf-16-be", b"II": "utf-16-le"}[order])
    return tags[ExifTags.Base.ImageDescription], tags[ExifTags.Base.Software], json.loads(text)


def read_metadata(image):
    return image.text if image.format == "PNG" else read_exif(image)[2]


def expected(image, **changes):
    values = metadata(**changes)
    return {key: str(value) for key, value in values.items()} if image.format == "PNG" else values


def largest_difference(one, other):
    return max(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True))


def mean_difference(one, other):
    a, b = one.tobytes(), other.tobytes()
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


def test_metadata_tells_all_of_one_image_by_the_apis_names():
    assert PLAN.metadata(1, DIGEST) == {
        "prompt": "a red apple",
        "negative_prompt": "leaves",
        "seed": 0,
        "num_inference_steps": 8,
        "guidance_scale": 3.5,
        "width": 64,
        "height": 48,
        "model": "tiny",
        "weights": DIGEST,
        "easel": __version__,
    }
    assert replace(PLAN, go_fast=True).metadata(1, DIGEST) == PLAN.metadata(1, DIGEST) | {"go_fast": True}
    assert metadata().keys() - {field.name for field in fields(Request)} == {"model", "weights", "easel"}


@pytest.mark.parametrize(("suffix", "format"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_file_has_the_format_of_its_name_and_the_size_of_the_image(tmp_path, picture, suffix, format):
    image = saved(tmp_path / f"a.{suffix}", picture)
    assert (image.format, image.mode, image.size) == (format, "RGB", (64, 48))


def test_every_format_of_the_api_can_be_written(tmp_path, picture):
    for suffix in OUTPUT_FORMATS:
        assert saved(tmp_path / f"a.{suffix}", picture).size == picture.size


@pytest.mark.parametrize("suffix", OUTPUT_FORMATS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": ""},
        {"prompt": f'größe "像素" {APPLE}\nin\tred', "negative_prompt": f"{APPLE} \\ '"},
        {"prompt": APPLE * MAX_PROMPT_CHARACTERS, "negative_prompt": APPLE * MAX_PROMPT_CHARACTERS},
        {"prompt": '"' * MAX_PROMPT_CHARACTERS, "negative_prompt": "\n" * MAX_PROMPT_CHARACTERS},
    ],
    ids=["plain", "empty", "any letters", "longest", "longest in JSON"],
)
def test_metadata_is_read_back_as_it_was(tmp_path, picture, suffix, changes):
    image = saved(tmp_path / f"a.{suffix}", picture, **changes)
    assert read_metadata(image) == expected(image, **changes)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_exif_shows_prompt_and_software_to_any_viewer(tmp_path, picture, suffix):
    prompt, software, _ = read_exif(saved(tmp_path / f"a.{suffix}", picture))
    assert prompt == "a red apple"
    assert software == f"easel {__version__}"


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_exif_shows_a_prompt_in_any_letters(tmp_path, picture, suffix):
    """EXIF calls the text ASCII, readers take UTF-8; Pillow takes Latin-1."""
    prompt, _, _ = read_exif(saved(tmp_path / f"a.{suffix}", picture, prompt=f"größe 像素 {APPLE}"))
    assert prompt.encode("latin-1").decode() == f"größe 像素 {APPLE}"


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_user_comment_has_the_type_that_exif_asks_for(tmp_path, picture, suffix):
    """EXIF 2.32, table 8: tag 0x9286, type 7 (UNDEFINED), count in bytes. Some readers skip any other type."""
    image = saved(tmp_path / f"a.{suffix}", picture)
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    exif = image.info["exif"].removeprefix(b"Exif\0\0")
    order = {b"MM": ">", b"II": "<"}[exif[:2]]
    assert struct.pack(f"{order}HHL", 0x9286, 7, len(comment)) in exif


def test_png_is_lossless_at_every_quality(tmp_path, picture):
    files = set()
    for quality in (0, 50, 100):
        path = tmp_path / f"{quality}.png"
        assert largest_difference(saved(path, picture, quality), picture) == 0
        files.add(path.read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize(("suffix", "best"), [("jpg", 2), ("webp", 6)])  # of 255; WebP halves the colour resolution
def test_quality_trades_size_for_likeness(tmp_path, picture, suffix, best):
    paths = {quality: tmp_path / f"{quality}.{suffix}" for quality in (0, 50, 100)}
    errors = {quality: mean_difference(saved(path, picture, quality), picture) for quality, path in paths.items()}
    sizes = {quality: path.stat().st_size for quality, path in paths.items()}
    assert sizes[0] < sizes[50] < sizes[100]
    assert errors[0] > errors[50] > errors[100] > 0
    assert errors[100] < best


def test_jpeg_keeps_full_colour_resolution(tmp_path, picture):
    assert get_sampling(saved(tmp_path / "a.jpg", picture)) == 0  # 4:4:4


@pytest.mark.parametrize("suffix", OUTPUT_FORMATS)
def test_same_image_and_metadata_give_the_same_bytes(tmp_path, picture, suffix):
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        save_image(picture, path, 80, metadata())
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("suffix", OUTPUT_FORMATS)
def test_image_stays_as_it_was(tmp_path, picture, suffix):
    before, info = picture.tobytes(), dict(picture.info)
    save_image(picture, tmp_path / f"a.{suffix}", 80, metadata())
    assert (picture.tobytes(), picture.info) == (before, info)
