"""Images to files: format, quality, and metadata that ordinary image readers show."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

PILLOW_FORMATS = {"webp": "WEBP", "jpg": "JPEG", "png": "PNG"}
USER_COMMENT_ENCODING = b"UNICODE\0"  # EXIF 2.32, table 9: UTF-16 text follows

Metadata = Mapping[str, str | int | float | list[str] | list[float]]


def save_image(image: Image.Image, path: Path, quality: int, metadata: Metadata) -> None:
    """Write an RGB image as `encode_image` does; the path's suffix is the format. Raises OSError: the disk is full."""
    path.write_bytes(encode_image(image, path.suffix.removeprefix("."), quality, metadata))


def encode_image(image: Image.Image, output_format: str, quality: int, metadata: Metadata) -> bytes:
    """Return the file of an RGB image in a format (webp, jpg, png), quality 0 to 100 (png is lossless).

    `metadata` has at least the keys prompt and easel, the version that made the image.

    PNG carries one text entry per key; JPEG and WebP carry EXIF: the prompt as ImageDescription, "easel <version>" as
    Software, and all of the metadata as JSON in UserComment.
    """
    kind = PILLOW_FORMATS[output_format]
    out = io.BytesIO()
    if kind == "PNG":
        info = PngInfo()
        for key, value in metadata.items():
            info.add_itxt(key, str(value))
        image.save(out, kind, pnginfo=info)
        return out.getvalue()
    # Sharp edges on white are what emoji and lettering consist of: full colour resolution keeps their edges clean.
    extra = {"subsampling": "4:4:4"} if kind == "JPEG" else {"method": 4}
    image.save(out, kind, quality=quality, exif=exif(metadata), **extra)
    return out.getvalue()


def exif(metadata: Metadata) -> bytes:
    tags = Image.Exif()
    # As bytes, because Pillow would write "?" for all but ASCII; readers take UTF-8 here.
    tags[ExifTags.Base.ImageDescription] = str(metadata["prompt"]).encode()
    tags[ExifTags.Base.Software] = f"easel {metadata['easel']}"
    text = json.dumps(metadata, ensure_ascii=False)
    comment = USER_COMMENT_ENCODING + text.encode("utf-16-be")  # Pillow writes big-endian EXIF
    # A list of a bytearray gets the type UNDEFINED that EXIF asks for; plain bytes become BYTE, and some readers fail.
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = [bytearray(comment)]
    return tags.tobytes()
