"""Buckets: the size at which an image is trained, and what is cut off for it."""

import math

from PIL import Image

from easel.errors import InputError
from easel.images.input import fit_box
from easel.models import Model
from easel.sizes import ratio_of, size_for

WIDEST = (21, 9)  # of `sizes.ratio_of`, turned also the tallest


def resolution_for(model: Model, resolution: int | None) -> int:
    """Return the side in pixels of a square image to train on; None: the model's own. Raises InputError."""
    side = math.isqrt(model.native_area) if resolution is None else resolution
    least, most = math.isqrt(model.min_area), math.isqrt(model.max_area)
    if not least <= side <= most or side % model.multiple:
        raise InputError(
            f"resolution must be a multiple of {model.multiple} from {least} to {most} with {model.name}, not {side}."
        )
    return side


def bucket_for(width: int, height: int, resolution: int, multiple: int) -> tuple[int, int]:
    """Return the (width, height) at which an image of this size is trained, in pixels.

    About resolution x resolution pixels in the image's own aspect ratio, at most 21:9 and 9:21, each side rounded to
    `multiple`: the size that the predictor gives to `aspect_ratio=match_input_image` at that area. So a model is
    trained at sizes that it is asked for, and at most half a multiple is cut off (but of longer images more).
    """
    return size_for(ratio_of(width, height), resolution**2, multiple)


def crop_box(width: int, height: int, bucket: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return what of an image is trained: the largest centred box (left, top, right, bottom) of the bucket's aspect
    ratio, in pixels of the image. `images.input.fit_image` takes the same.
    """
    return fit_box((width, height), *bucket)


def shrink_to_cover(image: Image.Image, resolution: int = 1024, multiple: int = 16) -> Image.Image:
    """Return the image as small as it can be and still fill its bucket; one that is smaller stays as it is.

    Of one longer than 21:9 the middle, so that any image needs about 3 x resolution x resolution bytes. The defaults
    are those of the largest model here.
    """
    bucket = bucket_for(*image.size, resolution, multiple)
    widest = WIDEST if image.width > image.height else WIDEST[::-1]
    if max(image.size) * WIDEST[1] > min(image.size) * WIDEST[0]:
        left, top, right, bottom = crop_box(*image.size, widest)
        image = image.crop((math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)))
    scale = max(bucket[0] / image.width, bucket[1] / image.height)
    if scale >= 1:
        return image
    size = math.ceil(image.width * scale), math.ceil(image.height * scale)
    return image.resize(size, Image.Resampling.LANCZOS)
