"""Z-Image-Turbo's own classes, names and bfloat16 at a tiny size: trained under an adapter, and drawn by diffusers."""

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from easel.models import load_model
from easel.training.run import train_lora
from easel.training.settings import make_settings
from easel.weights.manifest import digest_of
from tests.support.loading import load_folder
from tests.support.lora_files import peft_tensors, renamed
from tests.support.tiny_z_image import plain_pipeline, tiny_modules, tiny_z_image_model


def test_the_flagships_classes_are_trained_in_bfloat16_under_an_adapter_and_diffusers_loads_the_result(
    images, tmp_path
):
    folder = tiny_z_image_model(tmp_path / "root")
    adapter = tmp_path / "adapter.safetensors"
    save_file(renamed(peft_tensors(tiny_modules()[0]), prefix="diffusion_model."), adapter)
    values = yaml.safe_load((folder / "model.yaml").read_text())
    values["training"]["adapter"] = {
        "source": adapter.as_uri(),
        "size": adapter.stat().st_size,
        "digest": digest_of(adapter),
    }
    values |= {"native_area": values["min_area"], "num_inference_steps": 1}  # the report draws 52 images
    (folder / "model.yaml").write_text(yaml.safe_dump(values))
    model = load_model(folder)
    inputs = {"steps": 100, "resolution": "64,80", "lora_rank": 2, "seed": 3, "learning_rate": 0.01}
    settings = make_settings({"input_images": images, **inputs, "validation_prompt": ""}, model)
    result = train_lora(settings, model, {"EASEL_CACHE_DIR": str(tmp_path / "cache")}, tmp_path / "out")

    with safe_open(result.lora, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # not a mapping
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert all(tensor.any() for tensor in tensors.values())
    components = load_folder(folder, cache=tmp_path / "cache")
    assert {name.split(".")[1] for name in tensors} == {"layers"}
    assert len(tensors) == 2 * 4 * len(components.transformer.module.layers)

    def draw(pipeline):
        generator = torch.Generator().manual_seed(1)
        size = {"height": 64, "width": 64}
        return pipeline("TOK", num_inference_steps=2, guidance_scale=0, generator=generator, **size).images[0].tobytes()

    pipeline = plain_pipeline(tmp_path / "root" / "checkpoint")
    before = draw(pipeline)
    pipeline.load_lora_weights(str(result.lora))
    assert draw(pipeline) != before
