"""The emoji model as users have it: files, metrics, seeds."""

import json

import pytest
from PIL import ExifTags, Image

import easel
from easel.local.client import read_state
from easel.local.inputs import encode_files
from easel.models import load_model
from easel.weights.manifest import read_manifest
from tests.server.calls import REPOSITORY, images, pixels
from tests.support.emoji_common import SMALL, ask

MODEL = load_model(REPOSITORY / "weights" / "emoji")


SAMPLES = sorted((REPOSITORY / "samples" / "requests").glob("*.json"))


def test_health_says_ready(server):
    assert read_state(server.url) == "READY"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_request_makes_its_pictures(server, path):
    inputs = encode_files(json.loads(path.read_text()), path.parent)
    answer = ask(server, **inputs)
    made = images(answer)
    assert len(made) == inputs.get("num_outputs", 1)
    wanted = {"jpg": "JPEG", "png": "PNG"}.get(inputs.get("output_format"), "WEBP")
    assert {image.format for image in made} == {wanted}


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        ({}, (128, 128)),
        ({"aspect_ratio": "21:9"}, (192, 80)),
        ({"aspect_ratio": "21:9", "width": 96, "height": 112}, (96, 112)),
        ({"width": 70, "height": 100}, (64, 96)),
    ],
)
def test_the_picture_has_the_size_asked_for(server, inputs, size):
    assert images(ask(server, prompt="a dog", num_inference_steps=1, **inputs))[0].size == size


def test_the_answer_has_seeds_count_and_timings_as_metrics_and_says_them_in_the_log(server):
    answer = ask(server, prompt="a dog", num_outputs=2, seed=41, width=70, height=64, num_inference_steps=2)
    metrics = answer["metrics"]
    assert metrics["seeds"] == [41, 42]
    assert metrics["image_count"] == 2
    assert metrics["safety"] == {"blocked": []}
    assert set(metrics["timings"]) == {"encode_prompt", "denoise", "decode", "encode_file", "sign_file"}
    assert "seed: 41, 42\n" in answer["logs"]
    assert "warning: 70 x 64 was rounded to 64 x 64 pixels, multiples of 16.\n" in answer["logs"]
    assert "\ntimings: encode_prompt " in answer["logs"]
    assert "100%|" in answer["logs"]


def test_a_random_seed_can_be_read_from_the_answer_and_repeats_the_picture(server):
    inputs = {"prompt": "a dog", "output_format": "png", **SMALL}
    first = ask(server, **inputs)
    assert pixels(ask(server, **inputs, seed=first["metrics"]["seeds"][0])) == pixels(first)


def metadata(image: Image.Image) -> dict[str, str]:
    if image.format == "PNG":
        return dict(image.text)
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    return {key: str(value) for key, value in json.loads(comment[8:].decode("utf-16-be")).items()}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_committed_pictures_of_a_sample_were_made_with_these_weights(path):
    inputs = json.loads(path.read_text())
    files = sorted((REPOSITORY / "samples" / "outputs").glob(f"{path.stem}.*"))
    assert len(files) == inputs.get("num_outputs", 1)
    for file in files:
        with Image.open(file) as image:
            found = metadata(image)
        assert found["prompt"] == inputs["prompt"]
        assert found["weights"] == read_manifest(MODEL.folder).digest, "run easel samples"


@pytest.mark.parametrize("output_format", ["png", "jpg", "webp"])
def test_every_file_says_how_it_was_made(server, output_format):
    image = images(ask(server, prompt="ein roter Apfel 🍎", seed=6, output_format=output_format))[0]
    found = metadata(image)
    assert found == {
        "prompt": "ein roter Apfel 🍎",
        "negative_prompt": "",
        "seed": "6",
        "num_inference_steps": str(MODEL.num_inference_steps),
        "guidance_scale": str(float(MODEL.guidance_scale)),
        "width": "128",
        "height": "128",
        "model": "emoji",
        "weights": read_manifest(MODEL.folder).digest,
        "easel": easel.__version__,
    }
