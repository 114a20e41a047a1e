"""Pictures that a caller sends: checked by their headers, then decoded to upright sRGB, or refused in a sentence."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageCms

from easel.errors import InputError
from easel.image_files import ACCEPTED, MAX_BYTES, MAX_PIXELS, decode, open_checked, read_file, refusals

__all__ = ["ACCEPTED", "MAX_BYTES", "MAX_PIXELS", "fit_image", "fit_mask", "image_size", "read_image", "read_mask"]

ASPECT_TOLERANCE = 0.01  # of a mask that was made on a smaller copy of the image, where a side was rounded
WHITE = 128  # the least grey that counts as white

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def image_size(name: str, path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture in pixels, by the file's header. InputError for what is not accepted."""
    kind, data = read_file(name, path)
    with refusals(name, kind):
        return upright_size(open_checked(name, kind, data))


def read_image(name: str, path: Path) -> Image.Image:
    """The picture as mode RGB in sRGB, upright, on white where it was transparent; the first one of an animation.

    Raises InputError for all that `image_size` refuses, and for pixels that are cut off or damaged.
    """
    kind, data = read_file(name, path)
    with refusals(name, kind):
        image = decode(name, kind, data)
        colour, alpha = split_alpha(image)
        return upright(on_ground(to_srgb(colour, image.info.get("icc_profile")), alpha, "white"), image)


def read_mask(name: str, path: Path, size: tuple[int, int]) -> Image.Image:
    """The mask as mode L of 0 (keep) and 255 (repaint), brought to `size`, the image's upright (width, height).

    White is from mid-grey on. Transparent is black. Colour profiles are ignored: a mask is no photograph. Raises
    InputError as `read_image` does, for another aspect ratio than the image's, and for a mask without white.
    """
    kind, data = read_file(name, path)
    with refusals(name, kind):
        image = decode(name, kind, data)
        colour, alpha = split_alpha(image)
        mask = upright(on_ground(colour.convert("L"), alpha, 0), image)
        if mask.size != size:
            check_aspect(name, mask.size, size)
            mask = resize_mask(threshold(mask), size)
        mask = threshold(mask)
    if mask.getextrema()[1] == 0:
        raise InputError(
            f"{name}: no pixel is white. White is painted anew, black or transparent is kept: make that part white."
        )
    return mask


def fit_image(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest centred box of width:height, resized to width x height pixels with Lanczos."""
    return image.resize((width, height), Image.Resampling.LANCZOS, box=fit_box(image.size, width, height))


def fit_mask(mask: Image.Image, width: int, height: int) -> tuple[Image.Image, bool]:
    """The part of a mask that `fit_image` takes of its image, to the fraction of a pixel; whether white is cut off.

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
    """The largest centred box (left, top, right, bottom) of width:height in a picture of this size."""
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    return max(left, 0.0), max(top, 0.0), min(size[0] - left, size[0]), min(size[1] - top, size[1])


def resize_mask(
    mask: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """A mask of 0 and 255 at another size. A new pixel is white where white covers most of it; where the mask shrinks,
    also where any white lies in it, since a thin stroke must not be lost.
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


def orientation(image: Image.Image) -> int:
    """EXIF's number, 1 to 8. HEIC and AVIF turn by their own header, which the decoders apply or show as EXIF."""
    exif = Image.Exif()  # not image.getexif(), which decodes a PNG, and takes XMP where no viewer does
    try:
        exif.load(image.info.get("exif") or b"")
        return exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # as viewers do: damaged metadata is no metadata
        return 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if orientation(image) in (5, 6, 7, 8) else (width, height)


def upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    turn = TURNS.get(orientation(image))
    return pixels if turn is None else pixels.transpose(turn)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """(colour as L, RGB or CMYK, alpha as L or None), 8 bits each."""
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


def to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """As RGB. A profile that is damaged, or made for another kind of pixels, counts as none, as in viewers."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile or b""))
        space = profile.profile.xcolor_space.strip()
        if space == "RGB" and image.mode != "CMYK":
            image = image.convert("RGB")  # a copy, or from grey
        elif space != {"L": "GRAY"}.get(image.mode, image.mode):
            raise ValueError("made for other pixels")
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        in_place = image.mode == "RGB"
        return ImageCms.applyTransform(image, transform, inPlace=in_place) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


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
