"""Parts of OpenAI's images API: inputs by a model's schema, the mask, previews as a Cog server tells them."""

import base64
import io
import json

import pytest
from PIL import Image

from easel.api.openai_events import enlarged
from easel.api.openai_inputs import ImageBody, model_input, typed
from easel.api.problems import Problem
from easel.api.updates import PREVIEWS, Preview, parse_update
from easel.errors import InputError
from easel.images.alpha import mask_of_alpha


def schema(**properties):
    return {"components": {"schemas": {"Input": {"type": "object", "properties": properties}}}}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
RATIOS = {"type": "string", "enum": ["1:1", "3:2", "match_input_image"]}


@pytest.mark.parametrize(
    ("given", "properties", "wanted"),
    [
        ({}, {}, {}),
        ({"size": "1536x1024"}, {"aspect_ratio": RATIOS}, {"aspect_ratio": "3:2"}),
        ({"size": "96x64"}, {"width": NUMBER, "height": NUMBER}, {"width": 96, "height": 64}),
        ({"size": "auto", "n": 1}, {"aspect_ratio": RATIOS}, {}),
        ({"quality": "low"}, {"go_fast": {"type": "boolean"}}, {"go_fast": True}),
        ({"quality": "high"}, {"go_fast": {"type": "boolean"}}, {}),
        ({"output_format": "jpeg"}, {"output_format": {"enum": ["jpg", "png"]}}, {"output_format": "jpg"}),
        (
            {"output_format": "webp", "output_compression": 30},
            {"output_format": {"enum": ["webp"]}, "output_quality": NUMBER},
            {"output_format": "webp", "output_quality": 30},
        ),
    ],
)
def test_each_parameter_becomes_what_the_model_has_for_it(given, properties, wanted):
    body = ImageBody(prompt="x", **given)
    assert model_input(body, {}, schema(prompt=TEXT, **properties), False) == {"prompt": "x", **wanted}


def test_an_edit_keeps_the_images_shape_unless_the_caller_says_another():
    document = schema(prompt=TEXT, aspect_ratio=RATIOS)
    assert model_input(ImageBody(prompt="x"), {}, document, True)["aspect_ratio"] == "match_input_image"
    assert model_input(ImageBody(prompt="x"), {"aspect_ratio": "1:1"}, document, True)["aspect_ratio"] == "1:1"


@pytest.mark.parametrize(
    ("given", "properties", "param"),
    [
        ({"n": 2}, {}, "n"),
        ({"size": "640x480"}, {"aspect_ratio": RATIOS}, "size"),
        ({"size": "64x0"}, {"width": NUMBER, "height": NUMBER}, "size"),
        ({"output_format": "webp"}, {"output_format": {"enum": ["png"]}}, "output_format"),
        (
            {"output_format": "webp", "output_compression": 5},
            {"output_format": {"enum": ["webp"]}},
            "output_compression",
        ),
    ],
)
def test_what_the_model_has_nothing_for_is_refused(given, properties, param):
    with pytest.raises(Problem) as caught:
        model_input(ImageBody(prompt="x", **given), {}, schema(prompt=TEXT, **properties), False)
    assert (caught.value.status, caught.value.extra["param"]) == (400, param)


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [(NUMBER, "7", 7), (TEXT, "7", "7"), ({"type": "boolean"}, "true", True), (NUMBER, "[" * 99999, "[" * 99999)],
)
def test_a_fields_text_becomes_what_the_schema_wants(rule, text, value):
    assert typed("x", text, {"x": rule}) == value


def png(mode, size, colour):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, "PNG")
    return file.getvalue()


def test_only_what_is_fully_transparent_becomes_white():
    image = Image.new("RGBA", (3, 1), (255, 255, 255, 255))
    image.putpixel((0, 0), (255, 255, 255, 0))
    image.putpixel((1, 0), (0, 0, 0, 1))
    file = io.BytesIO()
    image.save(file, "PNG")
    with Image.open(io.BytesIO(mask_of_alpha("mask", file.getvalue()))) as mask:
        assert (mask.mode, list(mask.tobytes())) == ("L", [255, 0, 0])


@pytest.mark.parametrize("data", [png("RGB", (4, 4), "white"), png("RGBA", (4, 4), (0, 0, 0, 9)), b"text"])
def test_a_mask_without_anything_to_edit_is_refused(data):
    with pytest.raises(InputError, match="mask"):
        mask_of_alpha("mask", data)


def preview(size=(4, 4), **changes):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "WEBP")
    return {"image": 0, "width": 32, "height": 16, "data": base64.b64encode(file.getvalue()).decode(), **changes}


def test_previews_are_read_apart_from_the_metrics_and_enlarged():
    told = {"status": "processing", "metrics": {PREVIEWS: [preview(), preview(image=1)], "other": 1}}
    update = parse_update(json.dumps(told).encode(), "x")
    assert [one.image for one in update.previews] == [0, 1]
    assert update.metrics == {"other": 1}
    with Image.open(io.BytesIO(base64.b64decode(enlarged(update.previews[0], "png")))) as image:
        assert (image.format, image.size) == ("PNG", (32, 16))


@pytest.mark.parametrize(
    "told", ["x", 7, [7], [preview(width=10**6)], [preview(height=0)], [preview(data="a" * 10**6)], [{}], {"a": 1}]
)
def test_previews_of_a_server_that_lies_are_none(told):
    assert parse_update(json.dumps({"metrics": {PREVIEWS: told}}).encode(), "x").previews == []


@pytest.mark.parametrize("data", ["", "!", base64.b64encode(b"RIFF0000WEBP").decode(), preview((600, 2))["data"]])
def test_a_preview_that_is_no_small_image_is_left_out(data):
    assert enlarged(Preview(0, 32, 32, data), "png") is None
