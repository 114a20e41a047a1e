"""What the page says of an image's signature: what its server verified."""

import io
import json
import urllib.error
import urllib.request

import pytest
from PIL import Image

from easel.images.certificates import make_identity
from easel.images.provenance import sign_image
from tests.page.steps import expect, fill, run


def verify(address, data, **headers):
    request = urllib.request.Request(f"{address}/page/signature", data, {"Origin": address, **headers})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_the_page_says_by_whom_an_image_is_signed(page):
    fill(page, prompt="a red apple", seed=7, num_inference_steps=1)
    run(page)
    line = page.locator("#images .signature")
    expect(line).to_have_text("Signed by Easel: valid, self-made certificate")
    assert "made at 20" in line.get_attribute("title")


def test_an_image_is_verified_and_an_upload_is_bounded(lone_page):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    assert verify(lone_page, out.getvalue())["state"] == "unsigned"
    facts = {"model": "<b>m</b>", "weights": "w", "easel": "1"}
    signed = bytearray(sign_image(out.getvalue(), facts, make_identity()))
    assert verify(lone_page, bytes(signed)) | {"made_at": ""} == {
        **{"state": "valid", "reason": "", "signer": "Easel / Easel, self-made certificate", "trust": "self-made"},
        **{"made_at": "", "kind": "made by a model", "generator": "Easel 1", "model": "<b>m</b>", "weights": "w"},
        **{"parameters": {"model": "<b>m</b>", "weights": "w", "easel": "1"}, "ingredients": []},
    }
    signed[-20] ^= 1
    assert verify(lone_page, bytes(signed))["state"] == "invalid"
    assert verify(lone_page, b"<html>")["state"] == "unreadable"
    with pytest.raises(urllib.error.HTTPError, match="413"):
        verify(lone_page, b"x", **{"Content-Length": str(2**40)})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        verify(lone_page, out.getvalue(), Origin="https://a.example")
