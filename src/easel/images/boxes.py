"""What AVIF and HEIC files say of their image in the boxes that their decoders leave to the reader."""

import struct
from collections.abc import Iterator
from itertools import islice

MAX_BOXES = 1000  # of one level; a file has a dozen
MAX_META = 1_000_000  # bytes of all that is not pixels; a panorama of many tiles has 50,000


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, begin, end) of the contents of the boxes in a range (ISO/IEC 14496-12, 4.2)."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def find(data: bytes, kind: bytes, start: int, end: int) -> list[int] | None:
    return next((span for name, *span in islice(boxes(data, start, end), MAX_BOXES) if name == kind), None)


def primary_properties(data: bytes) -> dict[bytes, bytes]:
    """{kind: content} of the properties of the main image (ISO/IEC 23008-12, 9.3), of its colours also b"colrnclx".

    Empty for a damaged file.
    """
    try:
        meta = find(data, b"meta", 0, len(data))
        if meta is None or meta[1] - meta[0] > MAX_META:
            return {}
        children = {kind: (begin, end) for kind, begin, end in islice(boxes(data, meta[0] + 4, meta[1]), MAX_BOXES)}
        begin, _ = children[b"pitm"]
        main = int.from_bytes(data[begin + 4 : begin + (8 if data[begin] else 6)])
        parts = {kind: (begin, end) for kind, begin, end in islice(boxes(data, *children[b"iprp"]), MAX_BOXES)}
        known = [(kind, data[begin:end]) for kind, begin, end in islice(boxes(data, *parts[b"ipco"]), MAX_BOXES)]
        known = [(kind + body[:4] if kind == b"colr" else kind, body) for kind, body in known]
        numbers = associations(data[slice(*parts[b"ipma"])], main)
        return dict(known[number - 1] for number in numbers if 0 < number <= len(known))
    except (KeyError, IndexError, struct.error):
        return {}


def associations(ipma: bytes, item: int) -> list[int]:
    """Return the numbers, from 1, of an item's properties."""
    id_size, number_size = (4 if ipma[0] else 2), (2 if ipma[3] & 1 else 1)
    at = 8
    for _ in range(int.from_bytes(ipma[4:8])):
        count = ipma[at + id_size]
        begin = at + id_size + 1
        if int.from_bytes(ipma[at : at + id_size]) == item:
            step = range(begin, begin + count * number_size, number_size)
            mask = 0x7FFF if number_size == 2 else 0x7F  # the first bit says whether a reader must know it
            return [int.from_bytes(ipma[k : k + number_size]) & mask for k in step]
        at = begin + count * number_size
    return []


def clean_aperture(clap: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the box (left, top, right, bottom) of an image that is to be seen; None without one, or if it makes no
    sense.
    """
    if len(clap) < 32:
        return None
    # As fractions: width, height, and how far the centre is to the right of the middle and below it.
    numbers = struct.unpack_from(">iIiIiIiI", clap)
    if 0 in numbers[1::2]:
        return None
    width, height, right, down = (numbers[k] / numbers[k + 1] for k in (0, 2, 4, 6))
    left, top = right + (size[0] - width) / 2, down + (size[1] - height) / 2
    box = (left, top, left + width, top + height)
    is_inside = width > 0 and height > 0 and left >= 0 and top >= 0 and box[2] <= size[0] and box[3] <= size[1]
    if not is_inside or any(value != int(value) for value in box):
        return None
    return int(box[0]), int(box[1]), int(box[2]), int(box[3])


def colour_space(properties: dict[bytes, bytes]) -> tuple[int, int] | None:
    """Return the numbers of the image's primaries and transfer function (ITU-T H.273), if it says them."""
    colr = properties.get(b"colrnclx", b"")
    return (int.from_bytes(colr[4:6]), int.from_bytes(colr[6:8])) if len(colr) >= 8 else None
