"""Z-Image-Turbo's own settings and file layout behind Cog's server, at a tiny size: every kind of request over HTTP."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image

from easel.local.server import Server, read_tail, run_server
from easel.models import load_model
from easel.weights.manifest import read_manifest
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from tests.server.calls import Caller, answer_to, data_url, files_in, images, mask, picture, pixels, wait_until_busy
from tests.support.hub_server import HubServer
from tests.support.lora_files import peft_tensors, write_lora
from tests.support.tiny_z_image import (
    hub_repos,
    paths_with_a_source,
    plain_pipeline,
    real_sources,
    tiny_z_image_model,
    write_lock,
)

SMALL = {"width": 64, "height": 80, "num_inference_steps": 2, "seed": 3, "output_format": "png"}
REFERENCE = {"prompt": "a dog", **SMALL}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Iterator[Path]:
    """These come from where the real lock says, on a stand-in for the Hub."""
    root = tmp_path_factory.mktemp("z-image-turbo")
    folder = tiny_z_image_model(root)
    with HubServer() as hub, pytest.MonkeyPatch.context() as patch:
        hub.repos |= hub_repos(root / "checkpoint")
        write_lock(folder, real_sources())
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(root / "hf"))
        patch.delenv("HF_HUB_OFFLINE")
        yield root


@pytest.fixture(scope="module")
def environment(root) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EASEL_MODEL", "z-image-turbo")
        patch.setenv("EASEL_CACHE_DIR", str(root / "cache"))
        patch.setenv("EASEL_ALLOW_FILES", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # So small a model is faster on one.
        (root / "tmp").mkdir()
        patch.setenv("TMPDIR", str(root / "tmp"))
        yield patch


@pytest.fixture(scope="module")
def server(root, environment) -> Iterator[Server]:
    with run_server(root, timeout=120) as server:
        yield server


@pytest.fixture(scope="module")
def plain(root) -> Iterator:
    """The same files in diffusers' own pipeline, with as many threads as the server."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield plain_pipeline(root / "checkpoint")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def loras(root, plain) -> list[str]:
    tensors = [peft_tensors(plain.transformer.float(), seed, strength=0.3) for seed in range(2)]
    plain.transformer.bfloat16()
    return [str(write_lora(root / f"{seed}.safetensors", one)) for seed, one in enumerate(tensors)]


def test_the_weights_come_into_the_store_and_the_next_start_needs_nothing_else(server, root):
    folder = root / "weights" / "z-image-turbo"
    blobs = {path.name for path in (root / "cache" / "blobs").iterdir()}
    fetched = {file.digest.replace(":", "-") for file in read_manifest(folder).files if file.source}
    assert blobs == fetched
    write_lock(folder, dict.fromkeys(paths_with_a_source(), "file:/nowhere"))
    snapshot = ensure_snapshot(load_model(folder), WeightPaths(root / "cache", None), log=lambda line: None)
    assert snapshot.unverified is None
    assert all((snapshot.folder / file.path).is_file() for file in snapshot.manifest.files)


def test_the_picture_is_the_one_of_diffusers_own_pipeline_bit_for_bit(server, plain):
    answer = answer_to(server, **REFERENCE)
    wanted = plain(
        REFERENCE["prompt"],
        width=64,
        height=80,
        num_inference_steps=2,
        guidance_scale=0,
        generator=torch.Generator().manual_seed(3),
    )
    assert pixels(answer) == [wanted.images[0].tobytes()]


def test_guidance_and_a_negative_prompt_make_diffusers_picture_too(server, plain):
    answer = answer_to(server, **REFERENCE, guidance_scale=2.5, negative_prompt="a cat")
    wanted = plain(
        REFERENCE["prompt"],
        negative_prompt="a cat",
        width=64,
        height=80,
        num_inference_steps=2,
        guidance_scale=2.5,
        generator=torch.Generator().manual_seed(3),
    )
    assert pixels(answer) == [wanted.images[0].tobytes()]
    assert pixels(answer_to(server, **REFERENCE, guidance_scale=2.5)) != pixels(answer)


def test_without_settings_of_the_callers_the_models_own_hold(server):
    answer = answer_to(server, prompt="a dog", seed=1, width=64, height=64, output_format="png")
    (image,) = images(answer)
    found = {name: image.text[name] for name in ("num_inference_steps", "guidance_scale", "model", "seed")}
    assert found == {"num_inference_steps": "8", "guidance_scale": "0.0", "model": "z-image-turbo", "seed": "1"}
    assert image.text["weights"].startswith("sha256:")
    assert "8/8" in answer["logs"]


def test_each_of_several_pictures_is_that_of_its_seed_alone(server):
    together = pixels(answer_to(server, **REFERENCE, num_outputs=3))
    assert len(set(together)) == 3
    assert together == [pixels(answer_to(server, **{**REFERENCE, "seed": seed}))[0] for seed in (3, 4, 5)]


@pytest.mark.parametrize(("output_format", "name"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_every_format_says_how_it_was_made(server, output_format, name):
    (image,) = images(answer_to(server, **{**REFERENCE, "output_format": output_format}))
    assert (image.format, image.size) == (name, (64, 80))
    if name == "PNG":
        assert image.text["prompt"] == "a dog"
    else:
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        assert json.loads(comment[8:].decode("utf-16-be"))["model"] == "z-image-turbo"


@pytest.mark.parametrize(("asked", "size"), [((128, 96), (128, 96)), ((70, 100), (64, 96)), ((256, 64), (256, 64))])
def test_the_picture_has_the_size_asked_for(server, asked, size):
    answer = answer_to(server, prompt="a dog", width=asked[0], height=asked[1], num_inference_steps=1)
    assert images(answer)[0].size == size


def test_sizes_beyond_the_models_limits_are_refused_with_a_sentence(server):
    answer = answer_to(server, prompt="a dog", width=2048, height=2048)
    assert answer["status"] == "failed"
    assert "z-image-turbo makes 4096 to 2097152 pixels" in answer["error"]


def test_what_a_prompt_has_beyond_512_tokens_is_said_to_be_ignored(server):
    answer = answer_to(server, **{**REFERENCE, "prompt": "a dog " * 400})
    assert answer["status"] == "succeeded"
    assert "tokens; the last " in answer["logs"]


def test_an_image_and_a_mask_hold_what_they_should(server):
    image = {"image": picture("blue"), "prompt_strength": 0.5}
    (plain_one,), (from_image,) = (
        pixels(answer_to(server, **REFERENCE)),
        pixels(answer_to(server, **REFERENCE, **image)),
    )
    assert from_image != plain_one
    (kept,) = images(answer_to(server, **REFERENCE, image=picture("blue"), prompt_strength=0))
    (painted,) = images(answer_to(server, **REFERENCE, image=picture("blue"), mask=mask(), prompt_strength=1))
    right = (48, 0, 64, 80)  # The mask covers the left half, with a soft edge of 8 pixels.
    assert painted.crop(right).tobytes() == kept.crop(right).tobytes()
    assert painted.crop((0, 0, 16, 80)).tobytes() != kept.crop((0, 0, 16, 80)).tobytes()


def test_loras_hold_for_their_request_only(server, loras):
    base = pixels(answer_to(server, **REFERENCE))
    made = [
        pixels(answer_to(server, **REFERENCE, lora_weights=weights, lora_scales=scales))
        for weights, scales in (([loras[0]], [1]), ([loras[0]], [0.5]), (loras, [1]), ([loras[1]], [1]))
    ]
    assert len({one[0] for one in (base, *made)}) == 5
    assert pixels(answer_to(server, **REFERENCE, lora_weights=[loras[0]], lora_scales=[0])) == base
    assert pixels(answer_to(server, **REFERENCE)) == base


def red() -> str:
    return data_url(Image.new("RGB", (64, 80), "red"))


def test_a_picture_that_the_safety_checker_blocks_stays_unless_it_is_switched_off(server):
    inputs = {**REFERENCE, "image": red(), "prompt_strength": 0}
    answer = answer_to(server, **inputs)
    assert answer["status"] == "failed"
    assert "SafetyError: The safety checker blocks the image of this request." in answer["error"]
    (image,) = images(answer_to(server, **inputs, disable_safety_checker=True))
    assert image.getcolors() == [(64 * 80, (255, 0, 0))]
    assert answer_to(server, **REFERENCE)["metrics"]["safety"] == {"blocked": []}
    assert "check_safety" in answer_to(server, **REFERENCE)["metrics"]["timings"]


BETWEEN = {
    "guidance": {"prompt": "a cat", "guidance_scale": 5, "negative_prompt": "a dog"},
    "several images": {"prompt": "a cat", "num_outputs": 2, "output_format": "jpg"},
    "an image": {"prompt": "a cat", "image": picture(), "prompt_strength": 0.6},
    "a mask": {"prompt": "a cat", "image": picture(), "mask": mask(), "prompt_strength": 1},
    "a LoRA on an image": {"prompt": "a cat", "image": picture(), "lora_weights": ["0"]},
    "an image that is blocked": {"prompt": "a cat", "image": red(), "prompt_strength": 0},
    "a LoRA that is not there": {"prompt": "a cat", "lora_weights": ["/nowhere.safetensors"]},
}


@pytest.mark.parametrize("name", BETWEEN)
def test_the_same_request_makes_the_same_picture_before_and_after(server, loras, name):
    inputs = dict(BETWEEN[name])
    if inputs.get("lora_weights") == ["0"]:
        inputs["lora_weights"] = loras[:1]
    before = pixels(answer_to(server, **REFERENCE))
    answer = answer_to(server, **{**SMALL, **inputs})
    failing = name in ("an image that is blocked", "a LoRA that is not there")
    assert answer["status"] == ("failed" if failing else "succeeded"), answer
    assert pixels(answer_to(server, **REFERENCE)) == before


def test_a_cancelled_request_ends_early_and_leaves_nothing(server, loras):
    before = pixels(answer_to(server, **REFERENCE))
    inputs = {**REFERENCE, "num_outputs": 4, "num_inference_steps": 50, "lora_weights": loras[:1]}
    caller = Caller(server, "long-one", **inputs, image=picture(), prompt_strength=1)
    wait_until_busy(server)
    caller.cancel()
    assert caller.answer["status"] == "canceled"
    assert pixels(answer_to(server, **REFERENCE)) == before


def test_a_mounted_folder_is_used_in_place_and_makes_the_same_picture(server, root, environment):
    wanted = pixels(answer_to(server, **REFERENCE))
    mounted, empty = root / "mounted", root / "empty"
    shutil.copytree(root / "checkpoint", mounted)
    environment.setenv("EASEL_WEIGHTS_DIR", str(mounted))
    environment.setenv("EASEL_CACHE_DIR", str(empty))
    with run_server(root, timeout=120) as second:
        assert pixels(answer_to(second, **REFERENCE)) == wanted
        assert f"12 files are used in place in {mounted}" in read_tail(second.log)
    assert {path.parent for path in files_in(empty) if path.suffix not in (".lock", ".pem")} == {empty / "verified"}
