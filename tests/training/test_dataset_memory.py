"""Whatever is sent, memory stays bounded; read in processes of their own, since peak memory is a process's."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile

import pytest
from PIL import Image

from tests.training.sets import images

pytestmark = pytest.mark.slow
MB = 10**6
PROGRAM = """
import json, resource, sys
from pathlib import Path
from easel.errors import InputError
from easel.training.captions import Captions
from easel.training.dataset import read_dataset

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kB on Linux

before = peak()
try:
    dataset = read_dataset(Path(sys.argv[1]), Captions(), largest=int(sys.argv[2]))
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


class Zeros(io.RawIOBase):
    """So many zeros, which are never all in memory."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = min(self.left, size)
        self.left -= size
        return bytes(size)


def test_ten_gigabytes_of_zeros_in_a_zip(tmp_path):
    path = tmp_path / "bomb.zip"
    block = bytes(MB)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in images(3):
            archive.writestr(name, data)
        with archive.open("bomb.png", "w", force_zip64=True) as member:
            member.write(b"\x89PNG\r\n\x1a\n")
            for _ in range(10_000):
                member.write(block)
    count, faults, memory = read_apart(path)
    assert (count, faults) == (3, ["the file has more than 30 MB: make it smaller."])
    assert memory < 200 * MB


def test_ten_gigabytes_of_zeros_in_a_tar(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo("bomb.png")
        info.size = 10_000 * MB
        archive.addfile(info, Zeros(info.size))
    count, faults, memory = read_apart(path)
    assert count is None
    assert faults == ["The archive unpacks to more than 2000000000 bytes, the most that is accepted."]
    assert memory < 200 * MB


def test_large_images_are_not_all_kept_as_they_are(tmp_path):
    """Forty images of 12 megapixels are 1.4 GB; one of them is decoded at a time."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(40):
            stream = io.BytesIO()
            Image.new("RGB", (4000, 3000), (k, 0, 0)).save(stream, "PNG", compress_level=1)
            archive.writestr(f"{k}.png", stream.getvalue())
    count, faults, memory = read_apart(path, 512)
    assert (count, faults) == (40, [])
    assert memory < 350 * MB
