"""Signed manifests in images: what they say, that any change breaks them, and files that lie."""

import io
import socket
from collections import Counter
from contextlib import suppress

import pytest
from PIL import Image, UnidentifiedImageError

from easel.images.certificates import make_identity
from easel.images.encode import encode_image
from easel.images.provenance import sign_image
from easel.images.verify import MAX_BOXES, MAX_BYTES, Authorities, verify_data
from tests.support.read_images import read_image

FORMATS = ("png", "jpg", "webp")
METADATA = {
    "prompt": 'größe "像素"\n',
    "negative_prompt": "",
    "seed": 4294967295,
    "guidance_scale": 2.0,
    "model": "emoji",
    "weights": "sha256:ab",
    "easel": "1.2",
    "lora_weights": ["a", "b"],
    "lora_scales": [1.5, 2.0],
}
NOBODY = Authorities()


@pytest.fixture(scope="module")
def identity():
    return make_identity()


@pytest.fixture(scope="module")
def images():
    noise = Image.effect_noise((48, 32), 90).convert("RGB")
    return {name: encode_image(noise, name, 80, METADATA) for name in FORMATS}


@pytest.fixture(scope="module")
def signed(images, identity):
    return {name: sign_image(data, METADATA, identity) for name, data in images.items()}


def pixels(data):
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_a_signed_image_says_all_of_itself_and_keeps_its_pixels_and_its_metadata(images, signed, name, tmp_path):
    plain, data = images[name], signed[name]
    report = verify_data(data, NOBODY)
    assert (report.state, report.reason, report.trust) == ("valid", "", "self-made")
    assert report.parameters == METADATA | {"prompt": METADATA["prompt"].strip()}
    assert (report.model, report.weights, report.generator) == ("emoji", "sha256:ab", "Easel 1.2")
    assert report.kind == "made by a model"
    assert report.made_at.startswith("20")
    assert pixels(data) == pixels(plain)
    assert 0 < len(data) - len(plain) < 5000
    before, after = (Image.open(io.BytesIO(one)) for one in (plain, data))
    assert (getattr(before, "text", None), before.getexif()) == (getattr(after, "text", None), after.getexif())
    (tmp_path / f"a.{name}").write_bytes(data)
    assert read_image("image", tmp_path / f"a.{name}").tobytes() == pixels(plain)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_no_byte_of_it_can_be_changed(signed, name):
    """C2PA leaves some bytes open that say nothing: names of boxes, padding, the checksum of a PNG's chunk."""
    data = signed[name]
    said = verify_data(data, NOBODY)
    states = Counter()
    for at in [*range(0, len(data), 11), *range(len(data) - 40, len(data))]:
        changed = bytearray(data)
        changed[at] ^= 1
        report = verify_data(bytes(changed), NOBODY)
        states[report.state] += 1
        if report.state == "valid":
            assert report == said
            with suppress(UnidentifiedImageError):  # Pillow minds the checksum
                assert pixels(bytes(changed)) == pixels(data)
    assert states["valid"] * 11 < 1200
    assert states["invalid"] > states["unsigned"] + states["unreadable"] + states["valid"]
    for cut in (data + b"x", data[:-1]):
        assert verify_data(cut, NOBODY).state != "valid"


@pytest.mark.parametrize("name", FORMATS)
def test_each_part_of_it_is_protected(signed, name):
    """The pixels, the metadata that any viewer shows, the prompt in the manifest, the signature."""
    data = signed[name]
    viewers = {"png": b"lora_scales\0", "jpg": b"Exif\0", "webp": b"EXIF"}[name]
    last = {"png": len(data) - 60, "jpg": len(data) - 10, "webp": data.find(b"VP8 ") + 60}[name]
    for at in (last, data.index(viewers) + 60, data.index(b"sha256:ab"), data.index(b"Easel root") + 3):
        changed = bytearray(data)
        changed[at] ^= 1
        assert verify_data(bytes(changed), NOBODY).state == "invalid", at


def test_a_manifest_of_one_image_is_not_valid_in_another(signed, images):
    data, other = signed["png"], bytearray(images["png"])
    at = data.index(b"caBX") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4])]
    other[33:33] = chunk  # after the header
    assert verify_data(bytes(other), NOBODY).state == "valid"
    end = other.index(b"IEND") - 4
    other[end - 5] ^= 1
    assert verify_data(bytes(other), NOBODY).state == "invalid"


def test_an_edit_names_its_source_and_carries_nothing_else_of_it(images, identity):
    facts = {**METADATA, "prompt_strength": 0.6, "image": "sha256:cd"}
    made = sign_image(images["jpg"], facts, identity, "HEIC")
    report = verify_data(made, NOBODY)
    assert (report.state, report.kind, report.ingredients) == ("valid", "an image, edited by a model", ("image",))
    assert report.parameters["image"] == "sha256:cd"
    untouched = sign_image(images["jpg"], {**facts, "prompt_strength": 0}, identity, "PNG")
    assert (verify_data(untouched, NOBODY).state, verify_data(untouched, NOBODY).kind) == ("valid", "")


@pytest.mark.parametrize(
    ("data", "state", "words"),
    [
        (b"", "unreadable", "the file is empty"),
        (b"%PDF-1.7", "unreadable", "a PDF document"),
        (bytes(MAX_BYTES + 1), "unreadable", "more than 100 MB"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "unreadable", "truncated or damaged"),
        (b"\xff\xd8\xff" + b"jumb" * (MAX_BOXES + 1), "invalid", "more than 2000 parts"),
    ],
)
def test_what_is_no_signed_image_is_said_in_words(data, state, words):
    report = verify_data(data, NOBODY)
    assert (report.state, words in report.reason) == (state, True), report


def test_an_image_without_a_manifest_is_unsigned(images):
    assert {verify_data(data, NOBODY).state for data in images.values()} == {"unsigned"}


def test_a_manifest_elsewhere_is_not_fetched():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/manifest.c2pa"
        xmp = (
            f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{url}"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        for kind, extra in (("JPEG", {"xmp": xmp.encode()}), ("WEBP", {"xmp": xmp.encode()})):
            out = io.BytesIO()
            Image.new("RGB", (8, 8)).save(out, kind, **extra)
            assert url.encode() in out.getvalue()
            report = verify_data(out.getvalue(), NOBODY)
            assert (report.state, "not fetched" in report.reason) == ("unsigned", True), report
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_control_characters_of_a_manifest_reach_no_terminal(images, identity):
    hostile = sign_image(images["png"], {**METADATA, "prompt": "a\x1b[2Jb", "model": "m\x07"}, identity)
    report = verify_data(hostile, NOBODY)
    assert (report.parameters["prompt"], report.model) == ("a\ufffd[2Jb", "m\ufffd")
