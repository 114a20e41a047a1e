"""What one request leaves for the next over HTTP: nothing, whatever it asked for and however it ended."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.local.client import call
from easel.local.server import Server, run_server
from tests.server.calls import (
    REPOSITORY,
    Caller,
    answer_to,
    files_in,
    images,
    mask,
    picture,
    pixels,
    wait_for,
    wait_until_busy,
)
from tests.support.fault_server import Answer, FaultServer
from tests.support.lora_files import write_loras
from tests.support.rounds import rounds

MOMENTS = rounds(usual=50, full=200)  # at which a request is cancelled
SMALL = {"width": 64, "height": 64, "num_inference_steps": 2, "guidance_scale": 0, "seed": 3, "output_format": "png"}
REFERENCE = {"prompt": "red apple", **SMALL}


@pytest.fixture(scope="module")
def loras(open_root, tmp_path_factory) -> list[Path]:
    return write_loras(open_root / "weights" / "emoji", tmp_path_factory.mktemp("loras"), 10)


@pytest.fixture(scope="module")
def server(open_server) -> Server:
    return open_server


@pytest.fixture(scope="module")
def folder(open_folder) -> Path:
    return open_folder


@pytest.fixture(scope="module")
def faults() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def reference(server: Server) -> list[bytes]:
    return pixels(answer_to(server, **REFERENCE))


@pytest.fixture(scope="module")
def before(server) -> list[bytes]:
    """What the request for the reference must go on making."""
    return reference(server)


# What is asked for between two requests for the same image, and how it ends.
BETWEEN = {
    "another prompt": ({"prompt": "dog", "guidance_scale": 5, "negative_prompt": "red"}, "succeeded"),
    "several images": ({"prompt": "dog", "num_outputs": 3, "output_format": "jpg"}, "succeeded"),
    "an image": ({"prompt": "dog", "image": picture(), "prompt_strength": 0.6}, "succeeded"),
    "an image kept as it is": ({"prompt": "dog", "image": picture(), "prompt_strength": 0}, "succeeded"),
    "a mask": ({"prompt": "dog", "image": picture(), "mask": mask(), "prompt_strength": 1}, "succeeded"),
    "a LoRA": ({"prompt": "red apple", "lora_weights": ["{lora0}"], "lora_scales": [1.5]}, "succeeded"),
    "two LoRAs": ({"prompt": "red apple", "lora_weights": ["{lora0}", "{lora1}"], "lora_scales": [1, -1]}, "succeeded"),
    "a LoRA on an image": ({"prompt": "dog", "image": picture(), "lora_weights": ["{lora2}"]}, "succeeded"),
    "a LoRA from the web": ({"prompt": "red apple", "lora_weights": ["{web}/good.safetensors"]}, "succeeded"),
    "a broken LoRA": ({"prompt": "red apple", "lora_weights": ["{lora0}", "{web}/bad.safetensors"]}, "failed"),
    "a LoRA that is not there": ({"prompt": "red apple", "lora_weights": ["{web}/none.safetensors"]}, "failed"),
    "a damaged image": ({"prompt": "dog", "image": "data:image/png;base64,iVBORw0KGgo="}, "failed"),
    "too large a size": ({"prompt": "dog", "width": 2048, "height": 2048}, "failed"),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_the_same_request_makes_the_same_picture_before_and_after(server, before, loras, faults, name):
    inputs, expected = BETWEEN[name]
    whole = loras[3].read_bytes()
    faults.routes |= {"/good.safetensors": Answer(body=whole), "/bad.safetensors": Answer(body=whole[:-100])}
    places = {"{web}": faults.url, **{f"{{lora{k}}}": str(path) for k, path in enumerate(loras)}}
    weights = inputs.get("lora_weights")
    if weights:
        for written, meant in places.items():
            weights = [text.replace(written, meant) for text in weights]
        inputs = {**inputs, "lora_weights": weights}
    answer = answer_to(server, **{**SMALL, **({} if "width" in inputs else SMALL), **inputs})
    assert answer["status"] == expected, answer
    if expected == "succeeded":
        assert pixels(answer) != before
    assert reference(server) == before


def test_a_lora_changes_the_picture_says_so_and_is_remembered(server, loras):
    inputs = {**REFERENCE, "lora_weights": [str(loras[9])], "lora_scales": [0.5]}
    first, second = answer_to(server, **inputs), answer_to(server, **inputs)
    assert pixels(first) == pixels(second) != reference(server)
    assert "9.safetensors, scale 0.5, " in first["logs"]
    assert "still in memory" not in first["logs"]
    assert "still in memory" in second["logs"]
    (image,) = images(first)
    assert image.text["lora_scales"] == "[0.5]"
    assert "9.safetensors" in image.text["lora_weights"]


@pytest.fixture(scope="module")
def lively(loras) -> dict:
    """A request of which encoding, denoising, decoding and writing take their turns."""
    size = {"width": 128, "height": 128, "num_outputs": 3, "num_inference_steps": 2, "output_format": "png"}
    return {"prompt": "dog", **size, "image": picture(), "mask": mask(), "lora_weights": [str(loras[0])]}


@pytest.fixture(scope="module")
def lively_s(server, lively) -> float:
    """Seconds that it takes, when nothing else keeps the machine busy."""
    return min(answer_to(server, **lively)["metrics"]["predict_time"] for _ in range(3))


@pytest.mark.parametrize("k", range(MOMENTS))
def test_a_cancel_at_any_moment_leaves_nothing(server, folder, before, lively, lively_s, k):
    caller = Caller(server, f"moment-{k}", **lively)
    wait_until_busy(server)
    time.sleep(lively_s * k / MOMENTS)
    caller.cancel()
    assert caller.answer["status"] in ("canceled", "succeeded"), caller.answer
    assert reference(server) == before
    wait_for(lambda: not files_in(folder / "tmp"), "files of the request are left")


def test_a_cancel_while_a_lora_is_fetched_ends_soon_and_leaves_nothing(server, folder, before, loras, faults):
    cached = set(files_in(folder / "cache"))
    faults.routes["/slow.safetensors"] = Answer(body=loras[4].read_bytes(), stall=1000)
    caller = Caller(server, "fetching", **REFERENCE, lora_weights=[f"{faults.url}/slow.safetensors"])
    assert faults.stalled.wait(10)
    caller.cancel()
    assert caller.answer["status"] == "canceled"
    assert set(files_in(folder / "cache")) == cached
    assert reference(server) == before


def test_an_upload_that_a_cancel_makes_cog_leave_behind_goes_with_the_next_request(server, folder, before, faults):
    faults.routes["/slow.png"] = Answer(body=bytes(1000), drip_s=0.01)
    caller = Caller(server, "uploading", **REFERENCE, image=f"{faults.url}/slow.png")
    wait_for(lambda: any(path.name.endswith("slow.png") for path in files_in(folder / "tmp")), "no upload began")
    caller.cancel()
    assert caller.answer["status"] == "canceled"
    assert any(path.name.endswith("slow.png") for path in files_in(folder / "tmp")), "Cog removes it by itself now"
    assert reference(server) == before
    wait_for(lambda: not files_in(folder / "tmp"), "the upload is still there")


def test_two_cancels_in_a_row_leave_nothing(server, before, loras):
    """The second may strike while the first is being dealt with."""
    for k in range(5):
        inputs = {**REFERENCE, "num_outputs": 4, "num_inference_steps": 20, "lora_weights": [str(loras[k])]}
        caller = Caller(server, f"twice-{k}", **inputs)
        wait_until_busy(server)
        time.sleep(0.1)
        for _ in range(2):
            call("POST", f"{server.url}/predictions/twice-{k}/cancel")
        caller.join(30)
        assert reference(server) == before


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small disk takes the right to mount one: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def is_empty(disk: Path) -> bool:
    """No file, and no space of one: a name goes a moment before what it stood for."""
    state = os.statvfs(disk)
    return not files_in(disk) and state.f_bfree == state.f_blocks


def test_a_full_disk_is_an_error_that_names_the_path_and_is_over_when_there_is_room(small_disk, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(small_disk))
    inputs = {**REFERENCE, "width": 192, "height": 192, "num_inference_steps": 1}
    with run_server(REPOSITORY, timeout=120) as server:
        before = answer_to(server, **inputs)
        wait_for(lambda: is_empty(small_disk), "files are left")
        with (small_disk / "filler").open("wb") as filler:
            free = os.statvfs(small_disk)
            filler.write(bytes(free.f_bavail * free.f_frsize - 4096))
        answer = answer_to(server, **inputs)
        assert answer["status"] == "failed"
        assert f"ResourceError: The images cannot be written to {small_disk}" in answer["error"]
        assert "No space left on device" in answer["error"]
        (small_disk / "filler").unlink()
        assert pixels(answer_to(server, **inputs)) == pixels(before)
        wait_for(lambda: not files_in(small_disk), "files are left")
