"""Masks: black and white, at the size of their image."""

import pytest
from PIL import Image

from easel.errors import InputError
from easel.images.input import fit_image, fit_mask
from tests.support.picture_files import (
    FORMATS,
    GREY,
    LONG,
    SHORT,
    encoded,
    exif,
    refusal,
)
from tests.support.read_images import read_mask


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


@pytest.mark.slow
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
