"""The safety checker: a real classifier with known answers behind the same engine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easel.errors import SafetyError, WeightsError
from easel.inference.engine import Engine
from easel.lora.files import AdapterFiles
from easel.request import Request
from tests.support.loading import load_folder
from tests.support.safety_checker import checked_model

EMOJI = Path(__file__).resolve().parents[2] / "weights" / "emoji"
# Without guidance, each seed gives images of nothing in particular another colour.
MIXED = {"prompt": "something", "guidance_scale": 0, "seed": 2, "num_outputs": 4, "num_inference_steps": 2}
MIXED |= {"output_format": "png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return checked_model(tmp_path_factory.mktemp("weights"), EMOJI)


@pytest.fixture(scope="module")
def engine(folder, tmp_path_factory) -> Iterator[Engine]:
    engine = Engine(load_folder(folder), AdapterFiles(tmp_path_factory.mktemp("adapters")))
    yield engine
    engine.outputs.root.cleanup()


@pytest.fixture
def answer(engine, capfd):
    """The images of a request by their seeds, the metrics, and the log."""

    def run(**inputs) -> tuple[dict[int, bytes], dict, str]:
        metrics = {}
        files = engine.answer(Request(**inputs), metrics.__setitem__)
        pictures = {}
        for path in files:
            with Image.open(path) as image:
                pictures[int(image.text["seed"])] = image.tobytes()
        engine.outputs.clear()
        return pictures, metrics, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("colour", "blocked"), [("red", True), ("orange", True), ("blue", False), ("white", False), ("black", False)]
)
def test_checker_blocks_what_its_classifier_knows(engine, colour, blocked):
    assert engine.components.safety_checker.blocks(Image.new("RGB", (90, 40), colour)) == blocked


def test_a_blocked_picture_is_left_out_and_the_seeds_of_the_others_stay_theirs(answer):
    everything, metrics, _ = answer(**MIXED, disable_safety_checker=True)
    assert metrics["safety.blocked"] == []
    red = [k for k, pixels in enumerate(everything.values()) if more_red_than_blue(pixels)]
    assert 0 < len(red) < 4, "the test needs images of both kinds"
    passed, metrics, log = answer(**MIXED)
    assert metrics["safety.blocked"] == red
    assert metrics["image_count"] == 4 - len(red)
    assert metrics["seeds"] == list(everything)
    assert passed == {seed: pixels for k, (seed, pixels) in enumerate(everything.items()) if k not in red}
    for k in red:
        assert f"image {k} (seed {MIXED['seed'] + k}) is left out: the safety checker blocks it." in log


def more_red_than_blue(pixels: bytes) -> bool:
    """The classifier's rule, by other means: more of the 8 x 8 patches of the 32 x 32 image are red than blue."""
    image = Image.frombytes("RGB", (128, 128), pixels).resize((4, 4), Image.Resampling.BOX)
    red, _, blue = np.asarray(image, dtype=int).transpose(2, 0, 1)
    return ((red - blue > 3).sum() - (red - blue < -3).sum()) > 0


@pytest.mark.parametrize("count", [1, 2])
def test_the_request_fails_with_a_sentence_when_all_are_blocked(answer, count):
    inputs = {"prompt": "red apple", "seed": 3, "num_outputs": count, "num_inference_steps": 4}
    with pytest.raises(SafetyError, match="blocks .* of this request. Try another prompt or seed"):
        answer(**inputs)
    assert len(answer(**inputs, output_format="png", disable_safety_checker=True)[0]) == count


def test_a_model_without_a_checker_has_none(components):
    assert components.safety_checker is None


def test_a_checker_without_the_label_to_block_is_refused(folder, tmp_path):
    other = checked_model(tmp_path, EMOJI)
    text = (other / "model.yaml").read_text().replace("nsfw", "unsafe")
    (other / "model.yaml").write_text(text)
    with pytest.raises(WeightsError, match="has the labels normal, nsfw, but not 'unsafe'"):
        load_folder(other)
