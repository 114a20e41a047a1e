"""A distilled model's training adapter: active while the model is trained, and in nothing that comes out of it."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from easel.errors import FetchError, WeightsError
from easel.inference.pipeline import Timings, run_plan
from easel.lora.adapter import load_adapter
from easel.lora.files import AdapterFile
from easel.models import load_model
from easel.plan import plan_request
from easel.request import Request
from easel.training.run import train_lora
from easel.training.training_adapter import Merged, fetch_training_adapter
from easel.weights.manifest import digest_of
from easel.weights.store import WeightPaths
from tests.support.loading import load_folder
from tests.support.lora_files import peft_tensors, renamed
from tests.support.model_folders import WEIGHTS


@pytest.fixture
def adapter(components, tmp_path):
    """A file that changes every image much, in the names of ostris's."""
    path = tmp_path / "adapter.safetensors"
    tensors = peft_tensors(components.transformer.module, seed=5, strength=0.3)
    save_file(renamed(tensors, prefix="diffusion_model."), path)
    return path


@pytest.fixture
def distilled(quick_folder, adapter, tmp_path):
    """A copy of the small model's folder, whose model.yaml names the adapter."""
    folder = shutil.copytree(quick_folder, tmp_path / "emoji")
    named = {"source": adapter.as_uri(), "size": adapter.stat().st_size, "digest": digest_of(adapter)}
    values = yaml.safe_load((folder / "model.yaml").read_text())
    values["training"]["adapter"] = named
    (folder / "model.yaml").write_text(yaml.safe_dump(values))
    return folder


def image(components, adapters=()):
    plan = plan_request(Request("TOK", seed=3, width=64, height=64, num_inference_steps=3), components.model)
    (made,) = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO())
    return made.tobytes()


def test_it_is_in_the_weights_inside_the_context_alone_and_leaves_them_bit_for_bit(components, adapter):
    file = AdapterFile(adapter, digest_of(adapter), None, "adapter")
    before = {name: tensor.clone() for name, tensor in components.transformer.module.state_dict().items()}
    plain, with_lora = image(components), image(components, [(load_adapter(file, components.transformer), 1.0)])
    merged = Merged(components.transformer, file)
    for _ in range(2):
        with merged.merged():
            inside = image(components)
        assert inside != plain
        difference = torch.tensor([abs(a - b) for a, b in zip(inside, with_lora, strict=True)]).float()
        assert difference.mean() < 1  # of 255: the same LoRA, added up in another order
    after = components.transformer.module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    with pytest.raises(KeyboardInterrupt), merged.merged():
        raise KeyboardInterrupt
    assert image(components) == plain


def test_the_result_does_not_contain_it(settings, distilled, quick_folder, tmp_path, capfd):
    """With a rate so small that the images teach nothing, the result is nothing, though the adapter was active."""
    idle = replace(settings, learning_rate=1e-9)
    environ = {"EASEL_CACHE_DIR": str(tmp_path / "cache")}
    result = train_lora(idle, load_model(distilled), environ, tmp_path / "out")
    said = capfd.readouterr().err
    plain = train_lora(idle, load_model(quick_folder), environ, tmp_path / "plain")

    components = load_folder(quick_folder)
    lora = load_adapter(AdapterFile(result.lora, "sha256:0", None, "lora"), components.transformer)
    assert max(float((pair.up @ pair.down).abs().max()) for pair in lora.pairs.values()) < 1e-5
    difference = [abs(a - b) for a, b in zip(image(components, [(lora, 1.0)]), image(components), strict=True)]
    assert max(difference) <= 1

    tars = [(tmp_path / name / "weights.tar").read_bytes() for name in ("out", "plain")]
    first = [float(tar.partition(b"step,loss\n1,")[2].partition(b"\n")[0]) for tar in tars]
    assert abs(first[0] - first[1]) > 0.01  # of two different models: the adapter was active
    assert "is distilled and is trained under its adapter sha256:" in said
    for step in (0, 50, 100):  # validation images are made without it
        name = f"validation/step-{step:05}.png"
        ours, plains = (np.asarray(Image.open(tmp_path / one / name), dtype=int) for one in ("out", "plain"))
        assert abs(ours - plains).max() <= 2  # of 255
    with safe_open(result.lora, framework="pt") as file:
        assert file.metadata()["training_adapter_digest"] == load_model(distilled).training["adapter"]["digest"]
    with safe_open(plain.lora, framework="pt") as file:
        assert file.metadata()["training_adapter_digest"] == "none"


def test_without_its_adapter_a_distilled_model_is_not_trained(settings, distilled, adapter, tmp_path):
    adapter.unlink()
    with pytest.raises((FetchError, WeightsError)):
        train_lora(settings, load_model(distilled), {"EASEL_CACHE_DIR": str(tmp_path / "cache")}, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_another_file_in_its_place_is_refused(settings, distilled, adapter, tmp_path):
    adapter.write_bytes(adapter.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError):
        train_lora(settings, load_model(distilled), {"EASEL_CACHE_DIR": str(tmp_path / "cache")}, tmp_path / "out")


def test_one_that_was_damaged_in_the_store_is_refused(distilled, tmp_path):
    model, paths = load_model(distilled), WeightPaths(tmp_path / "cache", None)
    blob = fetch_training_adapter(model, paths).path
    content = blob.resolve().read_bytes()
    blob.unlink()
    blob.write_bytes(content[:-1] + b"?")
    with pytest.raises(WeightsError, match="damaged"):
        fetch_training_adapter(model, paths)


def test_one_for_another_model_is_refused(components, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"diffusion_model.layers.99.attention.to_q.lora_A.weight": torch.ones(2, 64)}, path)
    with pytest.raises(WeightsError, match="does not fit this model"):
        Merged(components.transformer, AdapterFile(path, "sha256:0", None, "other"))


def test_the_flagships_is_pinned():
    named = load_model(WEIGHTS / "z-image-turbo").training["adapter"]
    assert named["size"] == 340194488
    assert named["digest"].startswith("sha256:20a541d3")
    lock = json.loads((WEIGHTS / "z-image-turbo/weights.lock").read_text())
    assert not any("training_adapter" in str(file) for file in lock["files"])  # serving never fetches it
