"""Whatever is sent, memory stays bounded; read in processes of their own, since peak memory is a process's."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pytest
from PIL import Image

from tests.training.raw_zip import deflated_zeros, entry, local, zip_of
from tests.training.sets import images

pytestmark = pytest.mark.slow
MB = 10**6
PROGRAM = """
import json, resource, sys
from functools import partial
from pathlib import Path
from easel.errors import InputError
from easel.training.buckets import shrink_to_cover
from easel.training.captions import Captions
from easel.training.dataset import read_dataset

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kB on Linux

before = peak()
try:
    keep = partial(shrink_to_cover, resolution=int(sys.argv[2]))
    dataset = read_dataset(Path(sys.argv[1]), Captions(), keep=keep)
    told = [len(dataset.examples), [problem.fault for problem in dataset.problems]]
except InputError as error:
    told = [None, [str(error)]]
print(json.dumps([*told, peak() - before]))
"""


def read_apart(path, largest=128):
    """Return (images, faults, bytes by which the peak of memory rose)."""
    command = [sys.executable, "-c", PROGRAM, str(path), str(largest)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout)


def test_ten_gigabytes_of_zeros_in_a_zip(tmp_path):
    path = tmp_path / "bomb.zip"
    good = [(name.encode(), data, zlib.crc32(data)) for name, data in images(3)]
    body, entries = b"", []
    for name, data, crc in good:
        entries.append(entry(name, len(body), len(data), len(data), crc, 0))
        body += local(name, len(data), len(data), crc, 0) + data
    packed = deflated_zeros(b"\x89PNG\r\n\x1a\n", 10_000)
    fields = (b"bomb.png", len(packed), 2**32 - 2, 0)  # a zip without further fields can claim 4 GB at most
    entries.append(entry(fields[0], len(body), *fields[1:]))
    path.write_bytes(zip_of(body + local(*fields) + packed, entries))
    count, faults, memory = read_apart(path)
    assert (count, faults) == (3, ["the file has more than 30 MB: make it smaller."])
    assert memory < 200 * MB


def test_ten_gigabytes_of_zeros_in_a_tar(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("bomb.png")
    info.size = 10_000 * MB
    path.write_bytes(gzip.compress(b"")[:10] + deflated_zeros(info.tobuf(), 10_000))
    count, faults, memory = read_apart(path)
    assert count is None
    assert faults == ["The archive unpacks to more than 2000000000 bytes, the most that is accepted."]
    assert memory < 200 * MB


def test_large_images_are_not_all_kept_as_they_are(tmp_path):
    """Sixteen images of 12 megapixels are 576 MB; one of them is decoded at a time."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(16):
            stream = io.BytesIO()
            Image.new("RGB", (4000, 3000), (k, 0, 0)).save(stream, "PNG", compress_level=1)
            archive.writestr(f"{k}.png", stream.getvalue())
    count, faults, memory = read_apart(path, 512)
    assert (count, faults) == (16, [])
    assert memory < 300 * MB
