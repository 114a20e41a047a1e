"""Images that a caller sends: checked by their headers, then decoded to upright sRGB, or refused in a sentence."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops

from easel.errors import InputError
from easel.images.colour import corrected, reduced, sixteen_bits, to_srgb
from easel.images.decode import (
    Details,
    accepted_kind,
    decode,
    low_bytes,
    open_checked,
    read_image_file,
    refusals,
)

ASPECT_TOLERANCE = 0.01  # of a mask that was made on a smaller copy of the image, where a side was rounded
WHITE = 128  # the least grey that counts as white

# By their numbers in ITU-T H.273: transfer functions, primaries.
HDR = {16: "HDR (PQ)", 18: "HDR (HLG)"}
WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class InputImage:
    """A caller's file, of which so far only the header was decoded. `name` is the input: image or mask.

    `size` is the upright (width, height) in pixels, `data` the whole file in bytes, at most 30 MB.
    """

    name: str
    kind: str
    size: tuple[int, int]
    data: bytes = field(repr=False)


def open_image(name: str, path: Path) -> InputImage:
    """Read a file once and check its header. Raises InputError for what is not accepted."""
    return open_image_data(name, read_image_file(name, path))


def open_image_data(name: str, data: bytes) -> InputImage:
    """Do as `open_image` for the content of a file."""
    kind = accepted_kind(name, data)
    with refusals(name, kind):
        image, details = open_checked(name, kind, data)
        left, top, right, bottom = details.box or (0, 0, *image.size)
        width, height = right - left, bottom - top
        size = (height, width) if orientation(details) in (5, 6, 7, 8) else (width, height)
    return InputImage(name, kind, size, data)


def read_image(source: InputImage, warn: Callable[[str], None] | None = None) -> Image.Image:
    """Decode to mode RGB in sRGB, upright, on white where it was transparent; the first image of an animation.

    Only the pixels of the file are kept. `warn` is told of colours that cannot be kept. Raises InputError for pixels
    that are cut off or damaged.
    """
    name, kind = source.name, source.kind
    with refusals(name, kind):
        image, details = decode(name, kind, source.data)
        colour, alpha = split_alpha(image)
        if warn and (space := other_space(details)):
            warn(f"{name} is in {space}, which is read as if it were sRGB: its colours are off. Convert it to sRGB.")
        pixels = upright(on_ground(in_srgb(kind, image, colour, details), alpha, "white"), details)
        pixels.info = {}
        return pixels


def other_space(details: Details) -> str | None:
    """Return the colour space that the file says by its numbers alone, if it is none that is converted here."""
    primaries, transfer = details.cicp or (0, 0)
    return HDR.get(transfer) or (None if details.profile else WIDE.get(primaries))


def in_srgb(kind: str, image: Image.Image, colour: Image.Image, details: Details) -> Image.Image:
    """`colour`, the 8-bit colours of `image`, as RGB."""
    profile, gamma = details.profile, details.gamma
    wide = sixteen_bits(profile, gamma) if kind == "PNG" and details.data[24] == 16 else None
    if wide is None:
        return to_srgb(corrected(colour, gamma) if gamma else colour, profile)
    tables, profile = wide
    if image.mode == "I;16":
        whole = np.asarray(image)
        low = Image.fromarray((whole & 255).astype(np.uint8))
    else:
        second = low_bytes(details.data)
        assert second  # the file has 16 bits
        low = second
        colour = colour.getchannel(0) if low.mode == "L" else colour
    return to_srgb(reduced(colour, low, tables), profile)


def read_mask(source: InputImage, size: tuple[int, int]) -> Image.Image:
    """Decode to mode L of 0 (keep) and 255 (repaint), resized to `size`, the image's upright (width, height).

    White is from mid-grey on. Transparent is black. Colour profiles are ignored: a mask is no photograph. Raises
    InputError as `read_image` does, for another aspect ratio than the image's, and for a mask without white.
    """
    name, kind = source.name, source.kind
    with refusals(name, kind):
        image, details = decode(name, kind, source.data)
        colour, alpha = split_alpha(image)
        mask = upright(on_ground(colour.convert("L"), alpha, 0), details)
        if mask.size != size:
            check_aspect(name, mask.size, size)
            mask = resize_mask(threshold(mask), size)
        mask = threshold(mask)
    if mask.getextrema()[1] == 0:
        raise InputError(
            f"{name}: no pixel is white. White is painted anew, black or transparent is kept: make that part white."
        )
    mask.info = {}
    return mask


def fit_image(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the largest centred box of width:height, resized to width x height pixels with Lanczos."""
    return image.resize((width, height), Image.Resampling.LANCZOS, box=fit_box(image.size, width, height))


def fit_mask(mask: Image.Image, width: int, height: int) -> tuple[Image.Image, bool]:
    """Return the part of a mask that `fit_image` takes of its image, to the fraction of a pixel; whether white is cut
    off.

    Raises InputError when all of its white is: nothing would be painted, and the image would come back as it was.
    """
    box = fit_box(mask.size, width, height)
    left, top, right, bottom = mask.getbbox() or box
    fitted = resize_mask(mask, (width, height), box)
    if fitted.getextrema()[1] == 0:
        raise InputError(
            f"mask: the image is cut around its centre to {width} x {height} pixels, and all of the mask's white lies "
            "in what is cut off. Set aspect_ratio to match_input_image, or a width and a height like the image's."
        )
    return fitted, left + 1 <= box[0] or top + 1 <= box[1] or right - 1 >= box[2] or bottom - 1 >= box[3]


def fit_box(size: tuple[int, int], width: int, height: int) -> tuple[float, float, float, float]:
    """Return the largest centred box (left, top, right, bottom) of width:height in an image of this size."""
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    return max(left, 0.0), max(top, 0.0), min(size[0] - left, size[0]), min(size[1] - top, size[1])


def resize_mask(
    mask: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """Return a mask of 0 and 255 at another size. A new pixel is white where white covers most of it; where the mask
    shrinks, also where any white lies in it, since a thin stroke must not be lost.
    """
    resized = threshold(mask.resize(size, Image.Resampling.LANCZOS, box=box))
    left, top, right, bottom = box or (0, 0, *mask.size)
    if right - left > size[0] or bottom - top > size[1]:
        pixels = np.asarray(mask)[: math.ceil(bottom - 0.5), : math.ceil(right - 0.5)]
        pixels = np.maximum.reduceat(pixels, first_pixels(left, right, size[0]), axis=1)
        pixels = np.maximum.reduceat(pixels, first_pixels(top, bottom, size[1]), axis=0)
        resized = ImageChops.lighter(resized, Image.fromarray(pixels))
    return resized


def first_pixels(begin: float, end: float, count: int) -> np.ndarray:
    """For each of `count` new pixels over begin to end, the first old one whose centre lies in it: (count,), int."""
    edges = begin + np.arange(count) * (end - begin) / count
    return np.minimum(np.ceil(edges - 0.5), math.ceil(end - 0.5) - 1).astype(int)


def orientation(details: Details) -> int:
    """EXIF's number, 1 to 8. HEIC and AVIF turn by their own header, which the decoders apply or show as EXIF."""
    exif = Image.Exif()  # not image.getexif(), which decodes a PNG, and takes XMP where no viewer does
    try:
        exif.load(details.exif or b"")
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # as viewers do: damaged metadata is no metadata
        return 1


def upright(pixels: Image.Image, details: Details) -> Image.Image:
    turn = TURNS.get(orientation(details))
    return pixels if turn is None else pixels.transpose(turn)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return (colour as L, RGB or CMYK, alpha as L or None), 8 bits each."""
    key = image.info.get("transparency")
    if image.mode == "I;16":
        whole = image.convert("I")
        alpha = None if key is None else whole.point([255 * (value != key) for value in range(2**16)], "L")
        return whole.point([value >> 8 for value in range(2**16)], "L"), alpha  # as Pillow does it for 16-bit RGB
    if not image.has_transparency_data:
        return (
            image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")
        ), None
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    image = image.convert("RGBA")
    return image.convert("RGB"), image.getchannel("A")


def on_ground(pixels: Image.Image, alpha: Image.Image | None, ground: str | int) -> Image.Image:
    if alpha is None:
        return pixels
    flat = Image.new(pixels.mode, pixels.size, ground)
    flat.paste(pixels, mask=alpha)
    return flat


def check_aspect(name: str, mask: tuple[int, int], image: tuple[int, int]) -> None:
    if abs(mask[0] * image[1] / (mask[1] * image[0]) - 1) > ASPECT_TOLERANCE:
        raise InputError(
            f"{name}: it is {mask[0]} x {mask[1]} pixels and the image {image[0]} x {image[1]}, another aspect ratio: "
            "make the mask as wide and as high as the image."
        )


def threshold(image: Image.Image) -> Image.Image:
    return image.point([255 * (value >= WHITE) for value in range(256)])
