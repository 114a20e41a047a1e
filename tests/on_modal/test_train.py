"""The function `train` of the app by `.local()`, on the emoji model: a LoRA, going on after a preemption, refusals."""

import re

import pytest

from easel.training.loop import Trainer
from tests.support.serving import REPOSITORY

IMAGES = (REPOSITORY / "samples/training/tok.zip").read_bytes()
SMALL = {"steps": 100, "batch_size": 1, "resolution": "64", "lora_rank": 1, "seed": 7, "validation_prompt": ""}

pytestmark = pytest.mark.slow


def train(app, **inputs):
    with pytest.warns(UserWarning, match="executing locally"):
        return app.train.local(**inputs)


class Preempted(BaseException):
    """What takes a container away in the middle."""


def test_a_training_that_is_preempted_goes_on_from_the_volume_to_the_same_file(app, cache, monkeypatch, capfd):
    whole = train(app, input_images=IMAGES, **SMALL)
    assert list(whole["files"]) == ["weights.tar", "lora.safetensors"]
    assert whole["metrics"]["steps"] == 100
    kept = cache / "modal" / "trainings"
    assert list(kept.iterdir()) == []

    take_step = Trainer.take_step

    def preempted(self, step):
        if step == 45:
            raise Preempted
        return take_step(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", preempted)
        with pytest.raises(Preempted):
            train(app, input_images=IMAGES, **SMALL)
    assert len(list(kept.iterdir())) == 1
    capfd.readouterr()
    again = train(app, input_images=IMAGES, **SMALL)
    assert int(re.search(r"100 steps, (\d+) of them done", capfd.readouterr().err)[1]) >= 40
    assert again["files"]["lora.safetensors"] == whole["files"]["lora.safetensors"]
    assert again["metrics"]["steps"] <= 60


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"input_images": IMAGES, "steps": 5}, "steps is 5; it must be from 100 to 6000"),
        ({"input_images": "/etc/passwd"}, "input_images must be the bytes of an archive"),
        ({}, "input_images must be the bytes of an archive"),
        ({"input_images": b"no archive"}, "ZIP"),
        ({"input_images": IMAGES, "step": 100}, "There is no input 'step'"),
    ],
)
def test_a_bad_input_is_a_value_error_with_the_sentence(app, inputs, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        train(app, **inputs)
    assert type(error.value) is ValueError  # callers without Easel can unpickle it


def test_what_cannot_be_fetched_is_a_runtime_error(app):
    with pytest.raises(RuntimeError, match="There is no public host '127.0.0.1'"):
        train(app, input_images="https://127.0.0.1:1/a.zip")
