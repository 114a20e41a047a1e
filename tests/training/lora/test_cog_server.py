"""Cog's server in train mode: a training by request, and a predicting server of the version that comes out.

Server, call and prediction of docs/fine-tuning.md are among it, as they stand there.
"""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from easel.errors import WeightsError
from easel.inference.trained import load_trained
from easel.local.client import call
from easel.local.server import Server, choose_port, stop, wait_until_ready
from easel.lora.files import AdapterFiles
from easel.schema.openapi import install_schema
from easel.training.output import LORA_NAME
from easel.training.run import train_lora
from tests.server.calls import Caller, answer_to, decoded, files_in, pixels, wait_for
from tests.support.fault_server import Answer, FaultServer
from tests.support.serving import REPOSITORY, serving
from tests.support.small_emoji import small_repository

pytestmark = pytest.mark.slow

INPUTS = {"steps": 100, "batch_size": 2, "resolution": "64", "lora_rank": 4, "seed": 7, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def root(quick_folder, tmp_path_factory):
    root = small_repository(tmp_path_factory.mktemp("root"))
    shutil.copy(quick_folder / "model.yaml", root / "weights/emoji")
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


def command(words):
    """The one of docs/fine-tuning.md with these words, for this Python."""
    text = (REPOSITORY / "docs/fine-tuning.md").read_text()
    (found,) = [one for one in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if words in one]
    folder = str(Path(sys.executable).parent)
    return found.replace("$PWD/.venv/bin", folder).replace(".venv/bin/python", sys.executable)


@pytest.fixture(scope="module")
def server(root, place):
    """The document's, with the schema that a build or `script/serve` has left there."""
    install_schema(root)
    (place / "tmp").mkdir()
    places = {"TMPDIR": str(place / "tmp"), "EASEL_CACHE_DIR": str(place / "cache")}
    port = choose_port("127.0.0.1", 0)
    process = subprocess.Popen(
        ["bash", "-c", command("--x-mode train").replace("PORT=5000", f"PORT={port}")],
        cwd=root,
        env=os.environ | places | {"EASEL_ALLOW_LOOPBACK": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    try:
        server = Server(f"http://127.0.0.1:{port}", process)
        wait_until_ready(server, 120, lambda seconds: None)
        yield server
    finally:
        stop(process)


@pytest.fixture(scope="module")
def archive(images):
    return f"data:application/zip;base64,{base64.b64encode(images.read_bytes()).decode()}"


def train(server, **inputs):
    """A training's answer and its status; the server may hold its place for a moment after the last one."""
    while True:
        status, answer = call("PUT", f"{server.url}/trainings/{uuid.uuid4().hex}", {"input": inputs}, timeout=120)
        if status != 409:
            return status, answer


@pytest.fixture(scope="module")
def answer(server, archive):
    status, answer = train(server, input_images=archive, **INPUTS)
    assert (status, answer["status"]) == (200, "succeeded"), answer
    return answer


def lora_in(answer):
    return member_of(decoded(answer["output"]["weights"]), LORA_NAME)


def member_of(archive, name):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.extractfile(name).read()


def told_images(answer):
    return {one["step"]: one["image"] for one in answer["metrics"]["easel_validation_images"]}


@pytest.fixture(scope="module")
def expected(settings, quick_model, tmp_path_factory):
    """The file of `easel train`."""
    folder = tmp_path_factory.mktemp("expected")
    environ = {"EASEL_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the server has it
    try:
        return train_lora(replace(settings, learning_rate=0.02), quick_model, environ, folder).lora.read_bytes()
    finally:
        torch.set_num_threads(threads)


def test_a_training_by_request_gives_the_file_of_easel_train_and_leaves_nothing(answer, expected, place):
    assert lora_in(answer) == expected
    assert answer["metrics"].keys() >= {"steps", "steps_per_second", "peak_memory_gb"}
    assert re.search(r"^100%\|.*100/100 \[", answer["logs"], re.MULTILINE)
    assert list(told_images(answer)) == list(range(0, 101, 10))
    with Image.open(io.BytesIO(decoded(told_images(answer)[100]))) as small:
        whole = Image.open(io.BytesIO(member_of(decoded(answer["output"]["weights"]), "validation/step-00100.png")))
        assert (small.format, small.size) == ("WEBP", whole.size)
        blurred = [np.asarray(one.convert("RGB").resize((8, 8)), dtype=float) for one in (small, whole)]
        assert np.abs(blurred[0] - blurred[1]).mean() < 8  # of 255: it is noise, of which a small file keeps little
    assert files_in(place / "cache" / "trainings") == []
    wait_for(lambda: files_in(place / "tmp") == [], "the tar that was sent is still there")


def test_images_are_fetched_from_an_address_and_are_the_same(server, images, expected):
    with FaultServer() as web:
        web.routes["/images.zip"] = Answer(body=images.read_bytes())
        _, answer = train(server, input_images=f"{web.url}/images.zip", **INPUTS)
    assert lora_in(answer) == expected


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ("http://10.0.0.1/images.zip", "input_images: http://10.0.0.1/images.zip: .* is not encrypted"),
        ("https://10.0.0.1/images.zip", "There is no public host '10.0.0.1'"),
        ("/etc/hostname", "input_images must be an https:// address or a data: URL of an archive"),
        ("data:text/plain;base64,AAAA", "InputError: .*"),
    ],
)
def test_other_places_are_refused(server, images, problem):
    status, answer = train(server, input_images=images, **INPUTS)
    assert (status, answer["status"]) == (200, "failed")
    assert re.search(problem, answer["error"])


def test_cog_refuses_what_the_contract_refuses(server, archive):
    status, answer = train(server, input_images=archive, steps=5)
    assert status == 422, answer


def test_a_cancelled_training_goes_on_to_the_same_file(server, archive, expected, place):
    name = uuid.uuid4().hex
    caller = Caller(server, name, kind="trainings", input_images=archive, **INPUTS)
    kept = place / "cache" / "trainings"
    wait_for(lambda: list(kept.glob("*/validation/step-00020.png")), "the training never came to its second tenth")
    caller.cancel()
    assert caller.answer["status"] == "canceled"
    before = told_images(caller.answer)
    assert list(before)[:3] == [0, 10, 20]
    _, answer = train(server, input_images=archive, **INPUTS)
    (done,) = re.findall(r"100 steps, (\d+) of them done", answer["logs"])
    assert int(done) >= 20
    assert lora_in(answer) == expected
    assert list(told_images(answer)) == list(range(0, 101, 10))
    assert told_images(answer).items() >= before.items()


def test_the_documents_call_and_prediction(server, root, images, expected, tmp_path):
    """A training of a few steps, whose file is that of `easel train`; and an image with it."""
    (tmp_path / "samples/training").mkdir(parents=True)
    shutil.copy(images, tmp_path / "samples/training/tok.zip")
    whole = command("/trainings").replace("http://127.0.0.1:5000", server.url)
    few = whole.replace('"seed": 1', json.dumps(INPUTS)[1:-1])
    draw = command("COG_WEIGHTS=")
    here = draw.replace("script/predict", f"{sys.executable} -m easel.cli predict --root {root}")
    assert (few != whole, here != draw) == (True, True)
    environ = os.environ | {"EASEL_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for text in (few, here):
        done = subprocess.run(
            ["bash", "-c", text], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert member_of((tmp_path / "weights.tar").read_bytes(), LORA_NAME) == expected
    assert done.stdout == "output.0.webp\n"
    assert re.search(r"trained LoRA sha256:\w", done.stderr)
    with Image.open(tmp_path / "output.0.webp") as image:
        assert image.format == "WEBP"


def test_a_trained_version_draws_with_its_lora(answer, root, tmp_path):
    (tmp_path / "weights.tar").write_bytes(decoded(answer["output"]["weights"]))
    request = {"prompt": "TOK", "seed": 3, "width": 64, "height": 64, "num_inference_steps": 3, "output_format": "png"}
    given = {"lora_weights": [answer["output"]["weights"]]}
    with serving(tmp_path, root, COG_WEIGHTS=str(tmp_path / "weights.tar")) as server:
        trained = answer_to(server, **request)
        plain = pixels(answer_to(server, **request, lora_scales=[0]))
        assert pixels(trained) != plain
        assert pixels(answer_to(server, **request, **given)) == pixels(trained)
        weak = pixels(answer_to(server, **request, lora_scales=[0.1]))
        assert weak not in (plain, pixels(trained))
        # A request's own LoRAs take its place: with scale 0 nothing is left.
        assert pixels(answer_to(server, **request, **given, lora_scales=[0])) == plain
    assert "trained LoRA sha256:" in trained["logs"]
    assert str(tmp_path) not in trained["logs"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere.tar", "nowhere.tar: there is no such file on this machine"),
        ("text.tar", "text.tar: The file is neither safetensors, nor a tar or zip archive"),
        ("other.safetensors", "trained LoRA sha256:.* cannot be used: it holds no tensors"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_in_a_sentence(name, problem, components, tmp_path):
    (tmp_path / "text.tar").write_text("no weights")
    (tmp_path / "other.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    files = AdapterFiles(tmp_path / "cache", allow_files=True)
    with pytest.raises(WeightsError, match=f"COG_WEIGHTS names weights that cannot be used. .*{problem}"):
        load_trained(str(tmp_path / name), files, components.transformer, print)
