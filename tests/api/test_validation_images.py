"""Validation images as a trainer tells of them: read with limits, and apart from the other metrics."""

import json

import pytest

from easel.api.updates import parse_update
from easel.api.validation_images import VALIDATION_IMAGES


def told(**changes):
    return {"step": 10, "width": 64, "height": 64, "image": "data:image/webp;base64,AAAA", **changes}


def read(value):
    metrics = {VALIDATION_IMAGES: value, "other": 1}
    update = parse_update(json.dumps({"status": "processing", "metrics": metrics}).encode(), "x")
    assert update.metrics == {"other": 1}
    return [(one.step, one.data) for one in update.validation_images]


def test_they_are_read_up_to_the_twelfth_or_the_first_that_is_none():
    assert read([told(), told(step=20, caption="more")]) == [(10, "AAAA"), (20, "AAAA")]
    assert read([told(step=k) for k in range(40)]) == [(k, "AAAA") for k in range(12)]
    assert read([told(), {}, told()]) == [(10, "AAAA")]


@pytest.mark.parametrize(
    "value",
    [
        "x", 7, [7], {"a": 1}, [told(step=-1)], [told(step="1")], [told(width=0)], [told(height=10**6)],
        [told(image="https://elsewhere.example/a.webp")], [told(image="data:text/html;base64,AAAA")],
        [told(image="data:image/webp;base64," + "A" * 10**6)], [told(image={"easel:file": "in-0.zip"})],
    ],
)  # fmt: skip
def test_what_is_none_is_left_out(value):
    assert read(value) == []
