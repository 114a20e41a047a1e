"""The class of the app by `.local()`, on the emoji model: the hooks, a call, and what a call refuses."""

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from easel.images.verify import Authorities, verify_data
from easel.inference.engine import Engine
from easel.inference.startup import adapter_files
from easel.request import Request
from tests.support.fault_server import Answer, FaultServer
from tests.support.loading import load_folder
from tests.support.serving import REPOSITORY

SMALL = {"seed": 7, "width": 64, "height": 64, "num_inference_steps": 2}
SKETCH = (REPOSITORY / "samples/inputs/sketch.jpg").read_bytes()


def pixels(answered: dict) -> dict[str, bytes]:
    return {name: Image.open(io.BytesIO(data)).tobytes() for name, data in answered["files"].items()}


def test_the_weights_of_emoji_are_there_without_a_pull(app, root, capfd):
    with pytest.warns(UserWarning, match="executing locally"):
        app.pull_weights.local()
    assert capfd.readouterr().out.strip() == str(root / "weights/emoji")


def test_a_call_gives_the_files_of_a_model_that_was_loaded_at_once(predict, cache):
    answered = predict(prompt="a red apple", num_outputs=2, **SMALL)
    engine = Engine(load_folder(REPOSITORY / "weights/emoji", cache=cache), adapter_files(cache, {}))
    plain = engine.answer(Request("a red apple", num_outputs=2, **SMALL), lambda name, value: None)
    assert pixels(answered) == pixels({"files": {path.name: path.read_bytes() for path in plain}})
    reports = [verify_data(content, Authorities.find(cache)) for content in answered["files"].values()]
    assert [(one.state, one.parameters["seed"]) for one in reports] == [("valid", 7), ("valid", 8)]
    engine.outputs.root.cleanup()
    assert list(answered["files"]) == ["emoji-7.webp", "emoji-8.webp"]
    assert answered["metrics"]["seeds"] == [7, 8]
    assert answered["metrics"]["timings.denoise"] > 0


def test_an_image_may_be_bytes_or_an_address(predict, monkeypatch):
    monkeypatch.setenv("EASEL_ALLOW_LOOPBACK", "1")
    data = f"data:image/jpeg;base64,{base64.b64encode(SKETCH).decode()}"
    images = [pixels(predict(prompt="lion", image=image, **SMALL)) for image in (SKETCH, data)]
    with FaultServer() as files:
        files.routes["/sketch.jpg"] = Answer(body=SKETCH)
        images.append(pixels(predict(prompt="lion", image=f"{files.url}/sketch.jpg", **SMALL)))
    assert images[0] == images[1] == images[2] != pixels(predict(prompt="lion", **SMALL))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"prompt": "x", "width": 128}, "width is given without height: give both"),
        ({"prompt": "x", "seed": -1}, "seed is -1; it must be from 0 to 4294967295."),
        ({"prompt": ""}, "prompt is empty"),
        ({"propt": "x"}, "There is no input 'propt'."),
        ({}, "The input 'prompt' is missing."),
        ({"prompt": "x", "image": "abc"}, "image must be a file as a data: URL or an https:// address, not 'abc'."),
        ({"prompt": "x", "image": "data:image/png;base64,*"}, "image is not a data: URL that can be read."),
        ({"prompt": "x", "image": Path("/etc/passwd")}, "image must be the bytes of a file"),
        ({"prompt": "x", "image": b"GIF"}, "image: the file is"),
        ({"prompt": "x", "lora_weights": ["@/etc/passwd"]}, "lora_weights"),
    ],
)
def test_a_bad_input_is_a_value_error_with_the_sentence(predict, inputs, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        predict(**inputs)
    assert type(error.value) is ValueError  # callers without Easel can unpickle it


def test_what_cannot_be_fetched_is_a_runtime_error(predict):
    with pytest.raises(RuntimeError, match="There is no public host '127.0.0.1'"):
        predict(prompt="x", image="https://127.0.0.1:1/a.png")


def test_after_a_refusal_the_next_call_is_answered(predict):
    first = pixels(predict(prompt="a dog", **SMALL))
    with pytest.raises(ValueError, match="seed"):
        predict(prompt="a dog", **SMALL | {"seed": "x"})
    assert pixels(predict(prompt="a dog", **SMALL)) == first
