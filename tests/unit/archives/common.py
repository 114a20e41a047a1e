"""What the tests of archives share."""

import io
import json
import struct
import tarfile
import zipfile

MB = 1_000_000


WEIGHTS = struct.pack("<Q", 2) + b"{}" + b"tensors " * 1000


CONFIG = json.dumps({"r": 8}).encode()


TAR_MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


GNU, PAX, USTAR = tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT


def make_tar(members, mode="w", format=PAX, **changes):
    """A tar of (name, bytes) pairs, or of (TarInfo, bytes)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=format) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def make_zip(members, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def make(kind, members):
    return make_zip(members) if kind == "zip" else make_tar(members, TAR_MODES[kind])


KINDS = ["zip", *TAR_MODES]
