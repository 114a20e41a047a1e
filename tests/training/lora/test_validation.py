"""Validation images: kept as files, told of in a metric that stays small, also by a training that goes on."""

import base64
import io
import json

import pytest
from PIL import Image

from easel.training.validation import METRIC, SIDES, ValidationImages


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "validation").mkdir()
    return tmp_path


class Told:
    """What a Cog server was told last, and how many images each time."""

    def __init__(self):
        self.counts, self.images = [], []

    def record(self, name, value):
        assert name == METRIC
        self.counts.append(len(value))
        self.images = json.loads(json.dumps(value))


def opened(one):
    kind, _, data = one["image"].partition(",")
    assert kind == "data:image/webp;base64"
    content = base64.b64decode(data)
    image = Image.open(io.BytesIO(content))
    assert image.format == "WEBP"
    return len(content), image


def test_each_image_is_kept_told_and_named_in_the_log(folder, capsys):
    told = Told()
    images = ValidationImages(folder, 100, told.record)
    images.resume(0)
    for step in (0, 10):
        assert images.is_due(step)
        images.add(step, Image.new("RGB", (640, 480), (20 * step, 0, 0)))
        assert not images.is_due(step)
    assert not images.is_due(11)
    assert told.counts == [1, 2]
    assert [(one["step"], one["width"], one["height"]) for one in told.images] == [(0, 640, 480), (10, 640, 480)]
    assert opened(told.images[1])[1].size == (256, 192)
    assert sorted(path.name for path in (folder / "validation").iterdir()) == ["step-00000.png", "step-00010.png"]
    assert capsys.readouterr().err.splitlines()[-1] == (
        "training: validation image of step 10: validation/step-00010.png"
    )


@pytest.mark.parametrize("size", [(2048, 2048), (64, 64), (4000, 300)])
def test_the_worst_image_is_told_in_12_kilobytes(folder, size):
    told = Told()
    ValidationImages(folder, 100, told.record).add(0, Image.effect_noise(size, 255).convert("RGB"))
    length, image = opened(told.images[0])
    assert length <= 12_000
    assert max(image.size) in (*SIDES, *size)


def test_a_training_that_goes_on_tells_of_all_and_another_begins_without(folder):
    first = ValidationImages(folder, 100)
    for step in (0, 10, 20, 30):
        first.add(step, Image.new("RGB", (64, 64), (step, 0, 0)))
    (folder / "validation" / "step-00010.png").write_bytes(b"\x89PNG")  # cut off with the machine's power
    (folder / "validation" / "mine.png").write_bytes(b"another's")
    told = Told()
    ValidationImages(folder, 100, told.record).resume(25)
    assert [one["step"] for one in told.images] == [0, 20]
    left = {path.name for path in (folder / "validation").iterdir()}
    assert left == {"step-00000.png", "step-00020.png", "mine.png"}
    anew = Told()
    ValidationImages(folder, 200, anew.record).resume(0)
    assert anew.counts == []
    assert [path.name for path in (folder / "validation").iterdir()] == ["mine.png"]
