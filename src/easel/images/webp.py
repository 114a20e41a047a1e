"""A WebP without its metadata: a damaged or cut off EXIF or XMP behind the pixels must not sink them."""

from easel.images.png import MAX_CHUNKS, MAX_PROFILE

PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
HAS_METADATA = 0x20 | 0x08 | 0x04  # VP8X's bits for ICCP, EXIF and XMP (RFC 9649, 2.7)


def clean_webp(data: bytes) -> tuple[bytes, bytes | None, bytes | None]:
    """Return (the file with its pixels alone, its colour profile, its EXIF). Raises OSError for too many parts."""
    kept, profile, exif, at = [], None, None, 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            break
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        chunk, body = data[at : at + 8 + size + size % 2], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
        if kind == b"VP8X":
            kept.append(chunk[:8] + bytes([chunk[8] & ~HAS_METADATA]) + chunk[9:] if body else chunk)
        elif kind in PIXELS:
            kept.append(chunk)
        elif len(body) == size and kind == b"ICCP" and size <= MAX_PROFILE:
            profile = profile or body
        elif len(body) == size and kind == b"EXIF":
            exif = exif or body
    else:
        raise OSError("it consists of too many parts")
    pixels = b"".join(kept)
    return b"RIFF" + (4 + len(pixels)).to_bytes(4, "little") + b"WEBP" + pixels, profile, exif
