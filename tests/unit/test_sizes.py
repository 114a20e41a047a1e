"""From an aspect ratio and an area to a size that the model accepts and that looks like what was asked for."""

import pytest

from easel.sizes import ASPECT_RATIOS, size_for, snap

MULTIPLE = 16
EMOJI, Z_IMAGE = 128**2, 1024**2  # native areas in pixels


@pytest.mark.parametrize(
    ("length", "snapped"),
    [
        (64, 64),
        (71, 64),
        (72, 80),  # halves go up
        (71.9, 64),
        (79.9, 80),
        (88, 96),  # here too: not to the even one
        (2047, 2048),
        (7, 16),  # never 0
        (0, 16),
    ],
)
def test_length_is_rounded_to_the_nearest_positive_multiple(length, snapped):
    result = snap(length, MULTIPLE)
    assert result == snapped
    assert type(result) is int


def test_every_length_lands_within_half_a_multiple():
    for length in range(64, 2049):
        snapped = snap(length, MULTIPLE)
        assert snapped % MULTIPLE == 0
        assert abs(snapped - length) <= MULTIPLE / 2


@pytest.mark.parametrize(
    ("aspect_ratio", "area", "size"),
    [
        ("1:1", EMOJI, (128, 128)),
        ("16:9", EMOJI, (176, 96)),
        ("9:21", EMOJI, (80, 192)),
        ("1:1", Z_IMAGE, (1024, 1024)),
        ("16:9", Z_IMAGE, (1360, 768)),
        ("3:2", Z_IMAGE, (1248, 832)),
        ("21:9", Z_IMAGE, (1568, 672)),
    ],
)
def test_size_of_an_aspect_ratio_is_the_published_one(aspect_ratio, area, size):
    assert size_for(aspect_ratio, area, MULTIPLE) == size


# A multiple of 16 is an eighth of the emoji model's side, so its sizes are coarser.
@pytest.mark.parametrize(("area", "area_tolerance", "ratio_tolerance"), [(EMOJI, 0.10, 0.055), (Z_IMAGE, 0.01, 0.011)])
@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_size_is_near_the_native_area_and_the_ratio(aspect_ratio, area, area_tolerance, ratio_tolerance):
    width, height = size_for(aspect_ratio, area, MULTIPLE)
    across, down = map(int, aspect_ratio.split(":"))
    assert (width % MULTIPLE, height % MULTIPLE) == (0, 0)
    assert width * height == pytest.approx(area, rel=area_tolerance)
    assert width / height == pytest.approx(across / down, rel=ratio_tolerance)


@pytest.mark.parametrize("area", [EMOJI, Z_IMAGE])
@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_turned_ratio_gives_the_turned_size(aspect_ratio, area):
    turned = ":".join(reversed(aspect_ratio.split(":")))
    assert size_for(turned, area, MULTIPLE) == size_for(aspect_ratio, area, MULTIPLE)[::-1]


def test_aspect_ratios_differ_from_each_other_in_size():
    """At the emoji model's area 3:4 and 4:5 do not: between their sizes lies less than a multiple."""
    assert len({size_for(aspect_ratio, Z_IMAGE, MULTIPLE) for aspect_ratio in ASPECT_RATIOS}) == len(ASPECT_RATIOS)
