"""The file inside a data: URL."""

import binascii
import hashlib
from pathlib import Path
from urllib.parse import unquote

from easel.errors import InputError
from easel.files import disk_errors, sync_file
from easel.lora.references import DataSource
from easel.net.fetch import Fetched

PART = 4 * 1024 * 1024  # characters decoded at once, a multiple of 4


def save_data(source: DataSource, target: Path, max_bytes: int) -> Fetched:
    """Decode to `target`, which must not exist. Raises InputError for what is not base64, or too long.

    Line breaks and spaces in it are left out, escapes of a URL read, and padding is added where there is none.
    """
    payload = "".join((unquote(source.payload) if "%" in source.payload else source.payload).split())
    if "=" not in payload[-2:]:
        payload += "=" * (-len(payload) % 4)
    if len(payload) * 3 // 4 > max_bytes:
        raise InputError(f"{source.label}: at most {max_bytes} bytes are accepted.")
    digest, size = hashlib.sha256(), 0
    with disk_errors(target), target.open("xb") as stream:
        for start in range(0, len(payload), PART):
            data = decode_part(payload[start : start + PART], start + PART >= len(payload))
            if data is None:
                raise InputError(f"{source.label}: it is not base64.")
            digest.update(data)
            size += len(data)
            stream.write(data)
        sync_file(stream)
    return Fetched(size, "sha256:" + digest.hexdigest(), None)


def decode_part(part: str, is_last: bool) -> bytes | None:
    # Python's strict mode lets a third "=" and more pass.
    if len(part) % 4 or part.endswith("===") or (part.endswith("=") and not is_last):
        return None
    try:
        return binascii.a2b_base64(part, strict_mode=True)
    except ValueError:  # also for characters that are not ASCII
        return None
