"""What a file is, by its first bytes: an accepted image, or the name of something else."""

import re

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


def kind_of(data: bytes) -> str:
    """Return an accepted format's name, or what else the content looks like, as a phrase."""
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
