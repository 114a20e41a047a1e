"""Pictures that a caller sends: checked by their headers, then decoded to upright sRGB, or refused in a sentence."""

import io
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from easel.errors import InputError

MAX_BYTES = 30_000_000
MAX_PIXELS = 50_000_000  # more than phones take; below the 89 million at which Pillow begins to warn
ACCEPTED = "JPEG, PNG, WebP, GIF, AVIF and HEIC"

MAX_READS = 200_000  # one second of a decoder in Python that reads byte by byte; a real file of 30 MB needs 15,000
MAX_MARKERS = 5000  # of a JPEG; 30 MB of full segments are 460
MAX_SCANS = 100  # of a progressive JPEG, each of which is a walk over all pixels; encoders make about 10
ASPECT_TOLERANCE = 0.01  # of a mask that was made on a smaller copy of the image, where a side was rounded
WHITE = 128  # the least grey that counts as white

# Each file meets one decoder, chosen here: `Image.open` would try others, and look into the later pictures of an MPO.
DECODERS = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "AVIF": AvifImageFile,
}
SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"BM", "a BMP"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"JXL ", "a JPEG XL"),
    (4, b"jP  ", "a JPEG 2000"),
    (4, b"moov", "a QuickTime video"),
    (4, b"mdat", "a QuickTime video"),
    (8, b"AVI ", "an AVI video"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
)
BRANDS = {  # of ISO base media files
    **{b"avif": "AVIF", b"avis": "AVIF"},
    **{b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC"},
}
TEXTS = (
    (rb"<!doctype html|<html|<head|<body", "an HTML page"),
    (rb"<svg", "an SVG drawing"),
    (rb"^[{\[]", "JSON text"),
)
JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # not a stuffed byte, a restart or a fill byte
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
            mask = mask.resize(size, Image.Resampling.LANCZOS)
        mask = threshold(mask)
    if mask.getextrema()[1] == 0:
        raise InputError(
            f"{name}: no pixel is white. White is painted anew, black or transparent is kept: make that part white."
        )
    return mask


def fit_image(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest centred box of width:height, resized to width x height pixels with Lanczos.

    An image and a mask of one size get the same box, to the fraction of a pixel. Mode L is a mask: resized alike, then
    black or white again by which of them covers most of a pixel; so what is thinner than half of a new pixel goes.
    """
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return threshold(fitted) if image.mode == "L" else fitted


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
    if kind == "JPEG":
        check_markers(name, data)
    return kind, data


def kind_of(data: bytes) -> str:
    """An accepted format's name, or in words what else the content looks like."""
    if data[4:8] == b"ftyp":
        return kind_of_brands(data)
    for offset, signature, kind in SIGNATURES:
        if data.startswith(signature, offset):
            return kind
    head = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for pattern, kind in TEXTS:
        if re.search(pattern, head):
            return kind
    if b"\0" in head:
        return "of an unknown kind"
    return "plain text" if head else "empty"


def kind_of_brands(data: bytes) -> str:
    """By the brands in the first box (ISO/IEC 14496-12, 4.3): the major one, a version, the compatible ones."""
    end = min(int.from_bytes(data[:4]), 400)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    return next((BRANDS[brand] for brand in brands if brand in BRANDS), "an MP4 video or another ISO media file")


def check_markers(name: str, data: bytes) -> None:
    """Refuse a JPEG whose parts are so many that a small file takes minutes."""
    at, scans = 2, 0
    for _ in range(MAX_MARKERS):
        found = JPEG_MARKER.search(data, at)
        if not found or found[1] == b"\xd9":  # the end of the picture; phones append films
            return
        scans += found[1] == b"\xda"
        if scans > MAX_SCANS:
            break
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    raise InputError(f"{name}: the JPEG file consists of too many parts: save it anew as a plain JPEG.")


@contextmanager
def refusals(name: str, kind: str) -> Iterator[None]:
    """Whatever a decoder raises becomes an InputError; cancellation, which is no Exception, passes. No warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata that is not used here
        try:
            yield
        except InputError:
            raise
        except ImportError:
            raise InputError(f"{name}: {kind} cannot be read on this machine: send a JPEG or PNG.") from None
        except Image.DecompressionBombError:
            raise InputError(
                f"{name}: the {kind} file has more than {MAX_PIXELS // 10**6} megapixels: make it smaller."
            ) from None
        except Exception as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise InputError(f"{name}: the {kind} file is truncated or damaged ({reason}): send it again.") from None


def open_checked(name: str, kind: str, data: bytes) -> ImageFile.ImageFile:
    """The file's header, its size within the limits; no pixel is decoded."""
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
        from pi_heif import HeifImageFile  # here, so that all other formats can do without it

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
    return image.copy()


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
