"""A PNG without what its pixels do not need: a damaged comment, or a profile as large as a book, must not sink it."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PROFILE = 4_000_000  # bytes of a colour profile; those of printers have up to 3 million, those of screens some 1000
MAX_CHUNKS = 50_000  # 30 MB in parts of 8 kB are 3,700
NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
ANCILLARY = re.compile(rb"[a-z][A-Za-z][A-Z][A-Za-z]")  # PNG 3, 5.4: the first letter says that it can be left out
KNOWN = re.compile(
    rb"IHDR|PLTE|IDAT|IEND|tRNS|cHRM|gAMA|iCCP|sBIT|sRGB|cICP|mDCV|cLLI|tEXt|zTXt|iTXt|bKGD|hIST|pHYs|sPLT|eXIf|tIME"
)
TRANSPARENCY_BYTES = {0: 2, 2: 6}  # by colour type: one sample of grey or three of colour, 16 bits each


@dataclass(frozen=True)
class PngExtras:
    """What a PNG says of its colours and of which side is up.

    `gamma` is the exponent by which light became samples (PNG 3, 11.3.2.2), None where a profile or sRGB stands above
    it; `cicp` are the numbers of its primaries and its transfer function (ITU-T H.273).
    """

    profile: bytes | None
    exif: bytes | None
    gamma: float | None
    cicp: tuple[int, int] | None


def clean_png(data: bytes) -> tuple[bytes, PngExtras]:
    """Return the file with its pixels, palette and transparency alone, and the rest in so far as it is sound and of
    use.

    Raises OSError for too many parts.
    """
    kept = [data[:8]]
    before: dict[bytes, bytes] = {}
    exif: bytes | None = None
    has_pixels, entries = False, 0
    for k, (kind, chunk) in enumerate(chunks(data)):
        if k == MAX_CHUNKS:
            raise OSError("it consists of too many parts")
        body = chunk[8:-4]
        if kind in NEEDED or not ANCILLARY.fullmatch(kind):
            kept.append(chunk)
            has_pixels = has_pixels or kind == b"IDAT"
            entries = len(body) // 3 if kind == b"PLTE" else entries
        elif kind == b"eXIf":
            exif = exif or body
        elif not has_pixels:
            before.setdefault(kind, body)
            if kind == b"tRNS":
                kept.append(transparency(body, int.from_bytes(data[25:26]), entries))
    return b"".join(kept), PngExtras(
        profile=profile(before.get(b"iCCP", b"")), exif=exif, gamma=gamma(before), cicp=cicp(before)
    )


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, whole chunk) one after another, without ancillary ones whose checksum or length is wrong.

    What cannot be told apart is given as it stands, with the kind b"", for the decoder to refuse.
    """
    at, left = 8, 4 * len(data)  # `left`: bytes whose checksums may be looked at to find the way again
    while at < len(data):
        kind, end = data[at + 4 : at + 8], chunk_end(data, at)
        if not ANCILLARY.fullmatch(kind) or is_sound(data, at):
            yield (kind, data[at:end]) if end <= len(data) else (b"", data[at:])
            at = end
            if kind == b"IEND":
                return
            continue
        following = end if is_sound(data, end) else None
        found = KNOWN.finditer(data, at + 12)
        while following is None and left > 0 and (named := next(found, None)):
            start = named.start() - 4
            left -= min(chunk_end(data, start), len(data)) - start
            following = start if is_sound(data, start) else None
        if following is None:
            yield b"", data[at:]
            return
        at = following


def chunk_end(data: bytes, at: int) -> int:
    return at + 12 + int.from_bytes(data[at : at + 4])


def is_sound(data: bytes, at: int) -> bool:
    end = chunk_end(data, at)
    return end <= len(data) and zlib.crc32(memoryview(data)[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])


def transparency(body: bytes, colour_type: int, entries: int) -> bytes:
    """Return the tRNS chunk that decoders read; nothing for one that its kind of pixels cannot have."""
    size = entries if colour_type == 3 else TRANSPARENCY_BYTES.get(colour_type, 0)
    body = body[:size]
    if not body or (colour_type != 3 and len(body) < size):
        return b""
    return struct.pack(">I", len(body)) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))


def profile(body: bytes) -> bytes | None:
    _name, _, packed = body.partition(b"\0")
    try:
        unpacked = zlib.decompressobj().decompress(packed[1:], MAX_PROFILE + 1)
    except zlib.error:
        return None
    return unpacked if 0 < len(unpacked) <= MAX_PROFILE else None


def gamma(found: dict[bytes, bytes]) -> float | None:
    if found.keys() & {b"iCCP", b"sRGB", b"cICP"} or len(found.get(b"gAMA", b"")) != 4:
        return None
    return int.from_bytes(found[b"gAMA"]) / 100_000 or None


def cicp(found: dict[bytes, bytes]) -> tuple[int, int] | None:
    body = found.get(b"cICP", b"")
    return (body[0], body[1]) if len(body) == 4 else None
