"""A caller's image file: refused by its size and kind, then by its header, or decoded by the one decoder for it."""

import io
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageChops, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from easel.errors import InputError
from easel.image_kinds import kind_of

MAX_BYTES = 30_000_000
MAX_PIXELS = 50_000_000  # more than phones take; below the 89 million at which Pillow begins to warn
ACCEPTED = "JPEG, PNG, WebP, GIF, AVIF and HEIC"

MAX_READS = 200_000  # one second of a decoder in Python that reads byte by byte; a real file of 30 MB needs 15,000
MAX_MARKERS = 5000  # of a JPEG; 30 MB of full segments are 460
MAX_SCANS = 100  # of a progressive JPEG, each of which is a walk over all pixels; encoders make about 10

# Each file meets one decoder, chosen here: `Image.open` would try others, and look into the later pictures of an MPO.
DECODERS = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "AVIF": AvifImageFile,
}
JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # not a stuffed byte, a restart or a fill byte


def read_file(name: str, path: Path) -> tuple[str, bytes]:
    """(format, content) of a file that is small enough and of an accepted kind."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(f"{name}: the file cannot be read ({error.strerror}): send it again.") from None
    if size > MAX_BYTES:
        raise InputError(
            f"{name}: the file has {math.ceil(size / 1e5) / 10:g} MB; at most {MAX_BYTES // 10**6} are accepted: "
            "make it smaller."
        )
    kind = kind_of(data)
    if kind not in (*DECODERS, "HEIC"):
        raise InputError(f"{name}: the file is {kind}; {ACCEPTED} are accepted.")
    return kind, data


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
            raise InputError(f"{name}: {refusal(kind, error)}") from None


def refusal(kind: str, error: Exception) -> str:
    """What a decoder's error means for the caller."""
    if isinstance(error, ImportError):
        return f"{kind} cannot be read on this machine: send a JPEG or PNG."
    if isinstance(error, Image.DecompressionBombError):
        return f"the {kind} file has more than {MAX_PIXELS // 10**6} megapixels: make it smaller."
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return f"the {kind} file is truncated or damaged ({reason}): send it again."


def open_checked(name: str, kind: str, data: bytes) -> ImageFile.ImageFile:
    """The file's header, its size within the limits; no pixel is decoded."""
    if kind == "JPEG":
        scan_ends(data)
    image = decoder(kind)(Stream(data))
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name}: {width} x {height} pixels = {math.ceil(width * height / 1e4) / 100:g} megapixels; at most "
            f"{MAX_PIXELS // 10**6} are accepted: make it smaller."
        )
    if kind == "PNG":
        image.info |= png_info(image, data)
    return image


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


def png_info(image: ImageFile.ImageFile, data: bytes) -> dict:
    """What Pillow misses: EXIF after the pixels, and the transparent colour on the scale of the decoded pixels."""
    info = {}
    depth, colour = data[24], image.info.get("transparency")
    if isinstance(colour, int) and image.mode == "L":
        info["transparency"] = colour * 255 // (2**depth - 1)
    elif isinstance(colour, tuple) and depth == 16:
        info["transparency"] = tuple(value >> 8 for value in colour)
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            return info | {"exif": data[at + 8 : at + 8 + length]}
        at += length + 12
    return info


def decode(name: str, kind: str, data: bytes) -> Image.Image:
    """The pixels alone, so that the decoder's own copies of them are freed on return."""
    image = open_checked(name, kind, data)
    size = image.size
    image.load()
    if image.size != size:
        raise ValueError(f"its header says {size}, its pixels are {image.size}")
    if kind == "JPEG":
        check_jpeg_is_whole(image, data)
    return image.copy()


def scan_ends(data: bytes) -> list[int]:
    """Where the pixels of each scan of a JPEG end. OSError for so many parts that a small file takes minutes."""
    at, ends, is_scan = 2, [], False
    for _ in range(MAX_MARKERS):
        found = JPEG_MARKER.search(data, at)
        if is_scan:
            ends.append(found.start() if found else len(data))
        if not found or found[1] == b"\xd9":  # the end of the picture; phones append films
            return ends
        if len(ends) > MAX_SCANS:
            break
        is_scan = found[1] == b"\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    raise OSError("it consists of too many parts")


def check_jpeg_is_whole(image: Image.Image, data: bytes) -> None:
    """Raise OSError where libjpeg made up pixels: it paints them mid-grey and warns, which Pillow does not pass on.

    So where the last pixel is such a grey, the file is decoded again with more data behind each scan: unread if the
    scan was whole, pixels if it was not.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    if not {127, 128}.issuperset(last if isinstance(last, tuple) else (last,)):  # 127 in inverted inks
        return
    more = bytes(range(1, 250))  # some pixels in any JPEG, and no marker
    parts = (data[start:end] for start, end in pairwise([0, *scan_ends(data), len(data)]))
    longer = JpegImageFile(Stream(more.join(parts)))
    longer.load()
    if ImageChops.difference(image, longer).getbbox():
        raise OSError("pixels are missing")
