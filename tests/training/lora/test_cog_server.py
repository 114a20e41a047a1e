"""Cog's server in train mode: a training by request, and a predicting server of the version that comes out."""

import base64
import io
import re
import shutil
import tarfile
import uuid
from dataclasses import replace

import pytest
import torch

from easel.errors import WeightsError
from easel.inference.trained import load_trained
from easel.local.client import call
from easel.lora.files import AdapterFiles
from easel.training.output import LORA_NAME
from easel.training.run import train_lora
from tests.server.calls import Caller, answer_to, decoded, files_in, pixels, wait_for
from tests.support.fault_server import Answer, FaultServer
from tests.support.serving import serving
from tests.support.small_emoji import small_repository

pytestmark = pytest.mark.slow

INPUTS = {"steps": 100, "batch_size": 2, "resolution": "64", "lora_rank": 4, "seed": 7, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def root(folder, tmp_path_factory):
    root = small_repository(tmp_path_factory.mktemp("root"))
    shutil.copy(folder / "model.yaml", root / "weights/emoji")
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def server(root, place):
    with serving(place, root, train=True, EASEL_ALLOW_LOOPBACK="1", OMP_NUM_THREADS="1") as server:
        yield server


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
    with tarfile.open(fileobj=io.BytesIO(decoded(answer["output"]["weights"]))) as tar:
        return tar.extractfile(LORA_NAME).read()


@pytest.fixture(scope="module")
def expected(settings, model, tmp_path_factory):
    """The file of `easel train`."""
    folder = tmp_path_factory.mktemp("expected")
    environ = {"EASEL_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the server has it
    try:
        return train_lora(replace(settings, learning_rate=0.02), model, environ, folder).lora.read_bytes()
    finally:
        torch.set_num_threads(threads)


def test_a_training_by_request_gives_the_file_of_easel_train_and_leaves_nothing(answer, expected, place):
    assert lora_in(answer) == expected
    assert answer["metrics"].keys() >= {"steps", "steps_per_second", "peak_memory_gb"}
    assert re.search(r"^100%\|.*100/100 \[", answer["logs"], re.MULTILINE)
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
    _, answer = train(server, input_images=archive, **INPUTS)
    (done,) = re.findall(r"100 steps, (\d+) of them done", answer["logs"])
    assert int(done) >= 20
    assert lora_in(answer) == expected


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
