"""A JPEG without what its pixels do not need, closed if it only lacks its end; and whether all its pixels are there."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from PIL import Image, ImageChops

MAX_MARKERS = 5000  # 30 MB of full segments are 460
MAX_SCANS = 100  # of a progressive JPEG, each of which is a walk over all pixels; encoders make about 10
MAX_PROFILE = 4_000_000  # bytes, as of a PNG
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # not a stuffed byte, a restart or a fill byte
START_OF_SCAN, END = 0xDA, 0xD9
# The kinds of frames (T.81, table B.1).
HUFFMAN = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7)
ARITHMETIC = (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)


@dataclass
class JpegFile:
    """`data` as decoders read it. `scan_ends`: where the pixels of each scan end; `is_closed`: whether it says so."""

    data: bytes
    profile: bytes | None = None
    exif: bytes | None = None
    scan_ends: list[int] = field(default_factory=list)
    is_closed: bool = False
    frame: int = 0
    parts: set[tuple[int, bool]] = field(default_factory=set)  # (component, whether AC) that are there in full
    components: tuple[int, ...] = ()

    @property
    def is_arithmetic(self) -> bool:
        return self.frame in ARITHMETIC

    @property
    def has_all_scans(self) -> bool:
        return self.parts >= {(one, is_ac) for one in self.components for is_ac in (False, True)}


def clean_jpeg(data: bytes) -> JpegFile:
    """Return the file with what pixels need.

    Raises OSError for too many parts, or one that ends too early to be read.
    """
    file = JpegFile(data)
    kept = [data[:2]]
    profiles: dict[int, tuple[int, bytes]] = {}
    at, copied, is_scan = 2, 2, False
    for _ in range(MAX_MARKERS):
        found = MARKER.search(data, at)
        if is_scan:
            file.scan_ends.append(sum(map(len, kept)) + (found.start() if found else len(data)) - copied)
        if not found or found[1][0] == END:  # the end of the image; phones append films
            file.is_closed = bool(found)
            break
        if len(file.scan_ends) > MAX_SCANS:
            raise OSError("it consists of too many parts")
        marker, begin = found[1][0], found.end()
        at = begin + int.from_bytes(data[begin : begin + 2])
        body = data[begin + 2 : at]
        is_scan = marker == START_OF_SCAN
        if is_scan:
            add_scan(file, body)
        elif marker in HUFFMAN or marker in ARITHMETIC:
            file.frame, file.components = marker, tuple(body[6::3])
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            read_segment(file, marker, body, profiles)
            if not is_needed(marker, body):
                kept.append(data[copied : found.start()])
                copied = at
    else:
        raise OSError("it consists of too many parts")
    file.profile = whole_profile(profiles)
    file.data = b"".join([*kept, data[copied:]]) + (b"" if file.is_closed else b"\xff\xd9")
    if not file.is_closed and file.scan_ends and (file.is_arithmetic or not file.has_all_scans):
        raise OSError("it has no end")  # and whether pixels are missing cannot be told
    return file


def is_needed(marker: int, body: bytes) -> bool:
    """Return whether a segment tells which colours the numbers are: JFIF, and Adobe's."""
    jfif, adobe = marker == 0xE0 and body.startswith(b"JFIF\0"), marker == 0xEE and body.startswith(b"Adobe")
    return (jfif and len(body) >= 14) or (adobe and len(body) >= 12)


def read_segment(file: JpegFile, marker: int, body: bytes, profiles: dict[int, tuple[int, bytes]]) -> None:
    if marker == 0xE1 and body.startswith(b"Exif\0") and file.exif is None:
        file.exif = body
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
        profiles.setdefault(body[12], (body[13], body[14:]))


def whole_profile(profiles: dict[int, tuple[int, bytes]]) -> bytes | None:
    """Return the colour profile out of its numbered parts (ICC.1, B.4), if all of them are there."""
    counts = {count for count, _ in profiles.values()}
    if not profiles or counts != {len(profiles)} or set(profiles) != set(range(1, len(profiles) + 1)):
        return None
    joined = b"".join(part for _, (_, part) in sorted(profiles.items()))
    return joined if len(joined) <= MAX_PROFILE else None


def add_scan(file: JpegFile, body: bytes) -> None:
    """Note which coefficients are there in full with this scan (T.81, B.2.3 and G.1.1)."""
    count = body[0] if body else 0
    ids, limits = body[1 : 1 + 2 * count : 2], body[1 + 2 * count : 4 + 2 * count]
    if len(limits) < 3:
        return
    first, last, step = limits[0], limits[1], limits[2] & 15  # the last: bits that are still to come
    is_progressive = file.frame in PROGRESSIVE
    for one in ids:
        if not is_progressive or (first == 0 and step == 0):
            file.parts.add((one, False))
        if not is_progressive or (last == 63 and step == 0):
            file.parts.add((one, True))


def check_is_whole(file: JpegFile, image: Image.Image, decode: Callable[[bytes], Image.Image]) -> None:
    """Raise OSError where libjpeg made up pixels: it paints them mid-grey and warns, which Pillow does not pass on.

    So where the last pixel is such a grey, or the file had no end, it is decoded again with more data behind each scan:
    unread if the scan was whole, pixels if it was not. Arithmetic coding leaves out its last bytes, and gives no sign.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    is_grey = {127, 128}.issuperset(last if isinstance(last, tuple) else (last,))  # 127 in inverted inks
    if file.is_arithmetic or (file.is_closed and not is_grey):
        return
    more = bytes(range(1, 250))  # some pixels in any JPEG, and no marker
    parts = (file.data[start:end] for start, end in pairwise([0, *file.scan_ends, len(file.data)]))
    if ImageChops.difference(image, decode(more.join(parts))).getbbox():
        raise OSError("pixels are missing")
