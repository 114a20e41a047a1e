"""Data sets for tests: images that differ, archives of them, and how they are read."""

import io

from PIL import Image

from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from tests.unit.archives.common import make


def image_bytes(number, size=(40, 32), format="PNG"):
    """A file of one colour, another one for each number up to 4,095."""
    colour = (number % 16 * 16, number // 16 % 16 * 16, number // 256 * 16)
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, format)
    return stream.getvalue()


def images(count, first=0):
    return [(f"{k:04}.png", image_bytes(k)) for k in range(first, first + count)]


def names(dataset):
    return [example.name for example in dataset.examples]


def faults(dataset):
    return {problem.name: problem.fault for problem in dataset.problems}


class Reader:
    """Writes an archive of members and reads it as a data set."""

    def __init__(self, folder):
        self.folder = folder

    def file(self, data):
        path = self.folder / "images"
        path.write_bytes(data)
        return path

    def __call__(self, members, kind="zip", captions=None, **options):
        return self.bytes(make(kind, members), captions, **options)

    def bytes(self, data, captions=None, **options):
        return read_dataset(self.file(data), captions or Captions(), **options)
