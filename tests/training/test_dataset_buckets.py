"""Buckets: sizes that a model takes, near to the image's, and crops that lie inside."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from easel.errors import InputError
from easel.models import load_model
from easel.training.buckets import bucket_for, crop_box, resolution_for, shrink_to_cover

ROOT = Path(__file__).resolve().parents[2]

SIDES = st.integers(1, 20_000)
MULTIPLES = st.sampled_from([8, 16, 32, 64])
RESOLUTIONS = st.integers(4, 64).map(lambda k: k * 32)


@given(SIDES, SIDES, RESOLUTIONS, MULTIPLES)
def test_a_bucket_is_divisible_and_about_as_large_as_asked(width, height, resolution, multiple):
    wide, high = bucket_for(width, height, resolution, multiple)
    assert wide % multiple == high % multiple == 0
    assert min(wide, high) > 0
    ratio = min(max(width / height, 9 / 21), 21 / 9)
    # Each side is within half a multiple of the exact one, or is one multiple.
    assert abs(wide - resolution * ratio**0.5) <= multiple / 2 + 1e-6 or wide == multiple
    assert abs(high - resolution / ratio**0.5) <= multiple / 2 + 1e-6 or high == multiple


@given(SIDES, SIDES, RESOLUTIONS, MULTIPLES)
def test_turned_images_get_turned_buckets(width, height, resolution, multiple):
    assert bucket_for(height, width, resolution, multiple) == bucket_for(width, height, resolution, multiple)[::-1]


@given(SIDES, SIDES, RESOLUTIONS, MULTIPLES)
def test_a_crop_is_centred_inside_and_has_the_ratio_of_its_bucket(width, height, resolution, multiple):
    bucket = bucket_for(width, height, resolution, multiple)
    left, top, right, bottom = crop_box(width, height, bucket)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert left == pytest.approx(width - right, abs=1e-6)
    assert top == pytest.approx(height - bottom, abs=1e-6)
    assert (right - left) * bucket[1] == pytest.approx((bottom - top) * bucket[0], rel=1e-6)
    assert (left, right) == pytest.approx((0, width), abs=1e-6) or (top, bottom) == pytest.approx((0, height), abs=1e-6)


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1024, 1024), (1024, 1024)),
        ((4032, 3024), (1184, 880)),
        ((3024, 4032), (880, 1184)),
        ((1920, 1080), (1360, 768)),
        ((9000, 100), (1568, 672)),
        ((30, 30), (1024, 1024)),
    ],
)
def test_buckets_at_1024(size, bucket):
    assert bucket_for(*size, 1024, 16) == bucket


@given(st.integers(1, 400), st.integers(1, 400))
def test_what_is_kept_covers_the_bucket_and_no_more(width, height):
    image = shrink_to_cover(Image.new("RGB", (width, height)), 64, 16)
    wide, high = bucket_for(width, height, 64, 16)
    assert image.width * image.height <= 2 * 64 * 64
    assert image.width <= width
    assert image.height <= height
    if max(width, height) * 9 <= min(width, height) * 21:
        if width >= wide and height >= high:
            assert image.width >= wide
            assert image.height >= high
        else:
            assert image.size == (width, height)


def test_the_resolution_is_the_models_own_or_one_that_it_takes():
    model = load_model(ROOT / "weights" / "emoji")
    assert resolution_for(model, None) == 128
    assert resolution_for(model, 96) == 96
    for side in (0, -16, 100, 1024):
        with pytest.raises(InputError, match=f"multiple of 16 from 64 to 192 with emoji, not {side}"):
            resolution_for(model, side)
