"""A caller's image file: refused by its size and kind, then by its header, or decoded by the one decoder for it."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from easel.errors import InputError
from easel.images.boxes import clean_aperture, colour_space, primary_properties
from easel.images.formats import kind_of
from easel.images.jpeg import JpegFile, check_is_whole, clean_jpeg
from easel.images.png import clean_png
from easel.images.webp import clean_webp

MAX_BYTES = 30_000_000
MAX_PIXELS = 50_000_000  # more than phones take; below the 89 million at which Pillow begins to warn
ACCEPTED = "JPEG, PNG, WebP, GIF, AVIF and HEIC"

MAX_READS = 200_000  # one second of a decoder in Python that reads byte by byte; a real file of 30 MB needs 15,000

# Each file meets one decoder, chosen here: `Image.open` would try others, and look into the later images of an MPO.
DECODERS = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "AVIF": AvifImageFile,
}
LOW_BYTES = {2: "RGB;16L", 6: "RGBA;16L", 4: "RGBA"}  # by a PNG's colour type, Pillow's name for what finds them


@dataclass(frozen=True)
class Details:
    """What a file says besides its pixels. `data` is the file as its decoder reads it, without all that is not needed.

    `gamma` is the exponent by which light became samples; `cicp` the numbers of ITU-T H.273 for its
    primaries and its transfer function; `box` the part (left,
    top, right, bottom) of the image, as it is stored, that is to be seen.
    """

    data: bytes = field(repr=False)
    profile: bytes | None = None
    exif: bytes | None = None
    gamma: float | None = None
    cicp: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    jpeg: JpegFile | None = None


def read_image_file(name: str, path: Path) -> bytes:
    """Return the content of a file that is small enough."""
    try:
        size = path.stat().st_size
        if size <= MAX_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: the file cannot be read ({error.strerror}): send it again.") from None
    raise InputError(
        f"{name}: the file has {math.ceil(size / 1e5) / 10:g} MB; at most {MAX_BYTES // 10**6} are accepted: "
        "make it smaller."
    )


def accepted_kind(name: str, data: bytes) -> str:
    """Return the format of an image file. Raises InputError for one that is too large or of another kind."""
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: the file has more than {MAX_BYTES // 10**6} MB: make it smaller.")
    kind = kind_of(data)
    if kind not in (*DECODERS, "HEIC"):
        raise InputError(f"{name}: the file is {kind}; {ACCEPTED} are accepted.")
    return kind


@contextmanager
def refusals(name: str, kind: str) -> Iterator[None]:
    """Whatever a decoder raises becomes an InputError; cancellation, which is no Exception, passes. No warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata that is not used here
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            # On Python 3.13 a context manager that replaces an error leaves a circle of it, its frames and all their
            # pixels, which only the garbage collector frees, much later.
            error.__traceback__ = None
            raise InputError(f"{name}: {explain_error(kind, error)}") from None


def explain_error(kind: str, error: Exception) -> str:
    """Return what a decoder's error means for the caller."""
    if isinstance(error, ImportError):
        return f"{kind} cannot be read on this machine: send a JPEG or PNG."
    if isinstance(error, Image.DecompressionBombError):
        return f"the {kind} file has more than {MAX_PIXELS // 10**6} megapixels: make it smaller."
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    if kind in ("AVIF", "HEIC"):  # of which each decoder reads only a part of what there is
        state = "truncated or damaged, or of a kind that is not read here"
        return f"the {kind} file is {state} ({reason}): convert it to PNG."
    return f"the {kind} file is truncated or damaged ({reason}): send it again."


def open_checked(name: str, kind: str, data: bytes) -> tuple[ImageFile.ImageFile, Details]:
    """Return the file's header, its size within the limits; no pixel is decoded."""
    details = read_details(kind, data)
    image = decoder(kind)(Stream(details.data))
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name}: {width} x {height} pixels = {math.ceil(width * height / 1e4) / 100:g} megapixels; at most "
            f"{MAX_PIXELS // 10**6} are accepted: make it smaller."
        )
    if kind == "PNG":
        image.info.update(transparent_colour(image, data[24]))
    if kind in ("AVIF", "HEIC"):
        properties = primary_properties(data)
        # libheif cuts HEIC images itself.
        box = clean_aperture(properties.get(b"clap", b""), image.size) if kind == "AVIF" else None
        info = image.info
        details = Details(data, info.get("icc_profile"), info.get("exif"), None, colour_space(properties), box)
    return image, details


def read_details(kind: str, data: bytes) -> Details:
    match kind:
        case "JPEG":
            jpeg = clean_jpeg(data)
            return Details(jpeg.data, jpeg.profile, jpeg.exif, jpeg=jpeg)
        case "PNG":
            cleaned, extras = clean_png(data)
            return Details(cleaned, extras.profile, extras.exif, extras.gamma, extras.cicp)
        case "WebP":
            return Details(*clean_webp(data))
    return Details(data)


def decoder(kind: str) -> type[ImageFile.ImageFile]:
    if kind == "HEIC":
        from pillow_heif import HeifImageFile  # here, so that all other formats can do without it

        return HeifImageFile
    return DECODERS[kind]


class Stream(io.BytesIO):
    """A file in memory that ends the work of a decoder that asks for it in crumbs."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError("it consists of too many parts")
        return super().read(size)


def transparent_colour(image: ImageFile.ImageFile, depth: int) -> dict[str, Any]:
    """Return the transparent colour on the scale of the decoded pixels, where Pillow leaves it on the file's."""
    colour = image.info.get("transparency")
    if isinstance(colour, int) and image.mode == "L":
        return {"transparency": colour * 255 // (2**depth - 1)}
    if isinstance(colour, tuple) and depth == 16:
        return {"transparency": tuple(value >> 8 for value in colour)}
    return {}


def decode(name: str, kind: str, data: bytes) -> tuple[Image.Image, Details]:
    """Return the pixels alone, so that the decoder's own copies of them are freed on return; and what else the file
    says.
    """
    image, details = open_checked(name, kind, data)
    size, frame = image.size, image.tile[0].extents if kind == "GIF" and image.tile else None
    image.load()
    if image.size != size:
        raise ValueError(f"its header says {size}, its pixels are {image.size}")
    if details.jpeg:
        check_is_whole(details.jpeg, image, decode_jpeg)
    pixels = on_canvas(image, frame) if frame else image.copy()
    if details.box:
        pixels = pixels.crop(details.box)
    key = image.info.get("transparency")
    pixels.info = {} if key is None or frame_is_smaller(image, frame) else {"transparency": key}
    return pixels, details


def decode_jpeg(data: bytes) -> Image.Image:
    image = JpegImageFile(Stream(data))
    image.load()
    return image


def frame_is_smaller(image: Image.Image, frame: tuple[int, int, int, int] | None) -> bool:
    return frame is not None and frame != (0, 0, *image.size)


def on_canvas(image: Image.Image, frame: tuple[int, int, int, int]) -> Image.Image:
    """Return a GIF's first image; around one that is smaller than its canvas it is transparent, as in browsers."""
    if not frame_is_smaller(image, frame):
        return image.copy()
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.convert("RGBA").crop(frame), frame)
    return canvas


def low_bytes(data: bytes) -> Image.Image | None:
    """Return the second bytes of a 16-bit PNG's colours as L or RGB, which `decode` cuts off; None for another PNG."""
    depth, colour_type = data[24], data[25]
    if depth != 16 or colour_type not in LOW_BYTES:
        return None
    image = PngImageFile(Stream(data))
    image.tile = [tile._replace(args=LOW_BYTES[colour_type]) for tile in image.tile]
    image.load()
    return image.getchannel("G") if colour_type == 4 else image.convert("RGB")
