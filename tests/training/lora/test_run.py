"""A whole training in this process: the same file for the same inputs, and the same images by us and by diffusers."""

import csv
import io
import tarfile
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors import safe_open

from easel.errors import InputError, ResourceError
from easel.inference.pipeline import Timings, run_plan
from easel.lora.adapter import load_adapter
from easel.lora.files import AdapterFiles
from easel.lora.sites import Tokens
from easel.plan import plan_request
from easel.request import Request
from easel.training.run import train_lora
from tests.support.loading import load_folder


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    return {"EASEL_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def trained(settings, quick_model, environ, tmp_path_factory):
    """A LoRA strong enough to change an image."""
    return train_lora(replace(settings, learning_rate=0.02), quick_model, environ, tmp_path_factory.mktemp("trained"))


def image(components, adapters=()):
    plan = plan_request(Request("TOK", seed=3, width=64, height=64, num_inference_steps=3), components.model)
    (made,) = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO())
    return made.tobytes()


def test_the_lora_gives_equal_images_in_the_predictor_and_in_plain_diffusers(trained, folder, tmp_path):
    components = load_folder(folder)
    file = AdapterFiles(tmp_path / "adapters", allow_files=True).get(str(trained.weights), Tokens(None, None), print)
    ours = image(components, [(load_adapter(file, components.transformer), 1.0)])
    assert ours != image(components)

    pipeline = load_folder(folder).new_pipeline("text")
    pipeline.load_lora_weights(str(trained.lora))
    plan = plan_request(Request("TOK", seed=3, width=64, height=64, num_inference_steps=3), components.model)
    pipeline.set_progress_bar_config(disable=True)
    (theirs,) = pipeline(
        plan.prompt,
        negative_prompt=plan.negative_prompt,
        width=64,
        height=64,
        num_inference_steps=3,
        guidance_scale=plan.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(3),
        max_sequence_length=components.model.max_prompt_tokens,
    ).images
    assert theirs.tobytes() == ours


def test_the_same_inputs_give_the_same_file_and_another_seed_another(settings, quick_model, environ, trained, tmp_path):
    again = train_lora(replace(settings, learning_rate=0.02), quick_model, environ, tmp_path / "again")
    assert again.lora.read_bytes() == trained.lora.read_bytes()
    other = train_lora(replace(settings, learning_rate=0.02, seed=8), quick_model, environ, tmp_path / "other")
    assert other.lora.read_bytes() != trained.lora.read_bytes()


def test_what_is_in_the_tar(trained, quick_model):
    with tarfile.open(trained.weights) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}
    assert members["lora.safetensors"] == trained.lora.read_bytes()
    assert len(list(csv.reader(members["loss.csv"].decode().splitlines()))) == 101
    assert [name for name in members if name.startswith("validation/")] == [
        f"validation/step-{step:05}.png" for step in range(0, 101, 10)
    ]
    assert members["validation/step-00000.png"] != members["validation/step-00100.png"]
    with safe_open(trained.lora, framework="pt") as file:
        said = file.metadata()
    assert said == yaml.safe_load(members["config.yaml"])["metadata"]
    assert said["base_model"] == "emoji"
    assert said["license"] == "Apache-2.0"
    assert said["base_model_digest"].startswith("sha256:")
    assert sorted(path.name for path in trained.lora.parent.iterdir()) == [
        ".lock", "lora.safetensors", "report.html", "validation", "weights.tar"
    ]  # fmt: skip


def test_no_seed_is_a_random_one_that_the_file_tells(settings, quick_model, environ, tmp_path):
    quiet = replace(settings, seed=None, validation_prompt="")
    result = train_lora(quiet, quick_model, environ, tmp_path / "first")
    with safe_open(result.lora, framework="pt") as file:
        seed = int(file.metadata()["seed"])
    again = train_lora(replace(quiet, seed=seed), quick_model, environ, tmp_path / "again")
    assert again.lora.read_bytes() == result.lora.read_bytes()
    assert list((tmp_path / "first" / "validation").iterdir()) == []


def test_a_training_that_diverges_is_said_and_leaves_no_lora(settings, quick_model, environ, tmp_path, monkeypatch):
    monkeypatch.setattr("easel.training.loop.MAX_GRADIENT_NORM", float("inf"))
    wild = replace(settings, learning_rate=1e30, validation_prompt="")
    with pytest.raises(ResourceError, match="diverged .*lower learning_rate"):
        train_lora(wild, quick_model, environ, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_another_training_in_a_folder_with_an_unfinished_one_is_refused(
    settings, quick_model, environ, tmp_path, monkeypatch
):
    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("easel.training.loop.Trainer.take_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train_lora(settings, quick_model, environ, tmp_path / "out")
    assert (tmp_path / "out" / "checkpoint.pt").is_file()
    with pytest.raises(InputError, match="unfinished training with other inputs"):
        train_lora(replace(settings, lora_rank=8), quick_model, environ, tmp_path / "out")
    (tmp_path / "out" / "checkpoint.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="checkpoint.pt cannot be read"):
        train_lora(settings, quick_model, environ, tmp_path / "out")
