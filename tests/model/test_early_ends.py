"""A request that is cancelled, or runs out of memory, in any of its phases: the next one is as on a fresh engine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from easel.images.certificates import make_identity
from easel.inference import engine as engine_module
from easel.inference import pipeline
from easel.inference.engine import Engine
from easel.inference.signing import Signing
from easel.lora.files import AdapterFiles
from easel.request import Request
from tests.support.lora_files import peft_tensors, write_lora

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = {"prompt": "red apple", "seed": 3, "width": 64, "height": 64, "num_inference_steps": 2}


class Cancelled(BaseException):
    """As Cog's: raised between two bytecodes, and no Exception."""


@pytest.fixture(scope="module")
def engine(components, tmp_path_factory) -> Iterator[Engine]:
    files = AdapterFiles(tmp_path_factory.mktemp("adapters"), allow_files=True)
    engine = Engine(components, files, signing=Signing(make_identity))
    yield engine
    engine.outputs.root.cleanup()


@pytest.fixture(scope="module")
def lora(components, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("loras") / "lora.safetensors"
    return str(write_lora(path, peft_tensors(components.transformer.module)))


def answer(engine: Engine, **inputs) -> list[bytes]:
    files = engine.answer(Request(**{**REFERENCE, "output_format": "png", **inputs}), lambda name, value: None)
    pictures = []
    for path in files:
        with Image.open(path) as image:
            pictures.append(image.tobytes())
    return pictures


def cancel_at(owner, name):
    """Let one function begin, and end it by a cancel instead of its return."""

    def patch(monkeypatch):
        original = getattr(owner, name)

        def cancelled(*args, **kwargs):
            original(*args, **kwargs)
            raise Cancelled

        monkeypatch.setattr(owner, name, cancelled)

    return patch


PHASES = {
    "reading the image": (engine_module, "read_source"),
    "fetching a LoRA": (AdapterFiles, "get"),
    "checking a LoRA": (engine_module.AdapterMemory, "load"),
    "encoding the prompt": (pipeline, "encode_prompt"),
    "denoising": (pipeline.Bar, "update"),
    "decoding": (pipeline, "decode_latents"),
    "pasting around the mask": (pipeline, "keep_outside"),
    "encoding the file": (engine_module, "encode_image"),
    "signing": (Signing, "sign"),
    "writing": (Path, "write_bytes"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_in_each_phase_leaves_nothing(engine, lora, phase, monkeypatch, tmp_path):
    before = answer(engine)
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "image.png")
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    inputs = {"image": tmp_path / "image.png", "mask": tmp_path / "mask.png", "lora_weights": [lora], "num_outputs": 2}
    with monkeypatch.context() as patch:
        cancel_at(*PHASES[phase])(patch)
        with pytest.raises(Cancelled):
            answer(engine, **inputs)
        assert not list(Path(engine.outputs.root.name).iterdir()), "the folder of the request is left"
    assert answer(engine) == before


def test_all_loras_of_a_request_are_fetched_by_one_deadline(engine, lora, monkeypatch):
    deadlines = []
    original = AdapterFiles.get

    def get(files, reference, tokens, log, deadline):
        deadlines.append(deadline)
        return original(files, reference, tokens, log, deadline)

    monkeypatch.setattr(AdapterFiles, "get", get)
    answer(engine, lora_weights=[lora, lora, lora])
    assert len(deadlines) == 3
    assert len(set(deadlines)) == 1
    answer(engine, lora_weights=[lora])
    assert deadlines[3] > deadlines[0], "the next request has its own"


# In a process of its own, whose address space can be limited: torch then really gets no memory.
OUT_OF_MEMORY = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from easel.inference.engine import Engine
from easel.errors import ResourceError
from easel.request import Request
from easel.lora.files import AdapterFiles
from tests.support.loading import load_folder

components = load_folder(Path("weights/emoji"))
large = replace(components, model=replace(components.model, max_area=1024**2))  # or nothing would be too large
engine = Engine(large, AdapterFiles(Path(sys.argv[1])))

def answer(side):
    size = {"width": side, "height": side}
    inputs = {"prompt": "apple", "seed": 1, **size, "num_inference_steps": 1, "guidance_scale": 0}
    (path,) = engine.answer(Request(**inputs), lambda name, value: None)
    return path.read_bytes()

before = answer(64)
pages = int(Path("/proc/self/statm").read_text().split()[0])
# The decoder's largest tensors at 768 x 768 have 151 MB each, all that comes before them is smaller.
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 140 * 10**6, resource.RLIM_INFINITY))
try:
    answer(768)
except ResourceError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert answer(64) == before
assert answer(192)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space by Linux's rules")
def test_out_of_memory_is_a_sentence_with_the_sizes_and_the_next_request_works(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OUT_OF_MEMORY, tmp_path],
        cwd=REPOSITORY,
        # What is freed goes back to the system, so that it has to be asked for again.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "Out of memory at 768 x 768 pixels. Ask for fewer: 64 x 64 has fitted before. Fewer or smaller LoRAs "
        "help as well. The model is still loaded and takes the next request.\n"
    )
