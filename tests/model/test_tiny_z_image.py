"""The tiny Z-Image-Turbo: as the real files are, and loadable by diffusers itself, without Easel."""

import io
import json
import math
import shutil
from itertools import pairwise

import pytest
import torch
from gpu_check.layout import REAL, WEIGHTS, original_text_encoder, original_transformer
from safetensors import safe_open

from easel.inference.pipeline import Timings, run_plan
from easel.plan import plan_request
from easel.request import Request
from easel.weights.manifest import read_manifest, relative_paths
from tests.support.loading import load_folder
from tests.support.tiny_z_image import (
    MODEL,
    REPOSITORY,
    plain_pipeline,
    tiny_modules,
    tiny_z_image_model,
    write_tiny_z_image,
)
from tests.support.verify import verify_files


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    tiny_z_image_model(root)
    return root


@pytest.fixture(scope="module")
def pipeline(root):
    return plain_pipeline(root / "checkpoint")


def file_size(tensors, metadata=None):
    """Bytes of a safetensors file in bfloat16: a length, a header padded to 8 bytes, and the numbers by name."""
    offset, header = 0, {"__metadata__": metadata} if metadata else {}
    for name in sorted(tensors):
        shape = list(tensors[name].shape)
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    return 8 + math.ceil(len(json.dumps(header, separators=(",", ":"))) / 8) * 8 + offset


def locked_size(path):
    (file,) = [file for file in read_manifest(MODEL).files if file.path == path]
    return file.size


def test_with_these_names_and_the_real_shapes_the_files_have_the_published_sizes():
    with torch.device("meta"):
        transformer, text_encoder, vae = REAL.modules()
    size = file_size(original_transformer(transformer.state_dict()))
    assert size == locked_size(f"transformer/{WEIGHTS}")
    size = file_size(original_text_encoder(text_encoder.state_dict()))
    assert size == locked_size("text_encoder/model.safetensors")
    assert file_size(vae.state_dict(), {"format": "pt"}) == locked_size(f"vae/{WEIGHTS}")


def test_the_model_is_the_real_one_but_for_the_numbers(root):
    folder = root / "weights" / "z-image-turbo"
    assert sorted(path.name for path in folder.iterdir()) == ["model.yaml", "model_index.json", "weights.lock"]
    for name in ("model.yaml", "model_index.json"):
        assert (folder / name).read_bytes() == (MODEL / name).read_bytes()
    real, tiny = read_manifest(MODEL).files, read_manifest(folder).files
    assert [(file.path, bool(file.source)) for file in tiny] == [(file.path, bool(file.source)) for file in real]
    assert all(file.source == (root / "checkpoint" / file.path).as_uri() for file in tiny if file.source)
    verify_files(read_manifest(folder), root / "checkpoint")
    assert (root / "predict.py").read_bytes() == (REPOSITORY / "predict.py").read_bytes()


def test_the_files_are_the_same_each_time(root, tmp_path):
    write_tiny_z_image(tmp_path)
    for path in relative_paths(root / "checkpoint"):
        assert (tmp_path / path).read_bytes() == (root / "checkpoint" / path).read_bytes(), path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            f"transformer/{WEIGHTS}",
            ["layers.2.attention.qkv.weight", "noise_refiner.1.attention.q_norm.weight", "final_layer.linear.bias"],
        ),
        ("text_encoder/model.safetensors", ["model.layers.35.self_attn.q_norm.weight", "model.norm.weight"]),
        (f"vae/{WEIGHTS}", ["encoder.mid_block.attentions.0.to_q.weight", "decoder.up_blocks.3.resnets.2.norm1.bias"]),
    ],
)
def test_the_tensors_have_the_published_names(root, path, names):
    with safe_open(root / "checkpoint" / path, "pt") as file:
        assert set(names) <= set(file.keys())
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118


def test_diffusers_and_transformers_load_every_number_of_it(pipeline):
    loaded = pipeline.transformer, pipeline.text_encoder, pipeline.vae
    for module, written in zip(loaded, tiny_modules(), strict=True):
        found, wanted = module.state_dict(), written.state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name].to(torch.bfloat16)) for name in wanted)


def picture(pipeline, prompt="a dog", seed=0):
    generator = torch.Generator().manual_seed(seed)
    settings = {"width": 64, "height": 80, "num_inference_steps": 2, "guidance_scale": 0}
    return pipeline(prompt, generator=generator, **settings).images[0]


def test_diffusers_makes_a_picture_with_it_that_prompt_and_seed_change(pipeline):
    first = picture(pipeline)
    assert first.size == (64, 80)
    assert len(first.getcolors(64 * 80)) > 1000
    assert picture(pipeline).tobytes() == first.tobytes()
    assert picture(pipeline, seed=1).tobytes() != first.tobytes()
    assert picture(pipeline, prompt="a cat").tobytes() != first.tobytes()


def test_each_layer_of_the_text_encoder_changes_the_result(pipeline):
    """Else a loader that skips one too many would not be noticed."""
    tokens = pipeline.tokenizer("a dog", return_tensors="pt")
    with torch.inference_mode():
        states = pipeline.text_encoder(**tokens, output_hidden_states=True).hidden_states
    assert len(states) == 37
    changes = [float((after - before).float().abs().mean()) for before, after in pairwise(states)]
    assert min(changes) > 0.1


def test_the_tokenizer_takes_any_text_and_the_chat_template_what_the_pipeline_says(pipeline):
    tokenizer = pipeline.tokenizer
    message = [{"role": "user", "content": "ein Hund 🐕"}]
    text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True, enable_thinking=True)
    assert text == "<|im_start|>user\nein Hund 🐕<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    quiet = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert quiet == text + "<think>\n\n</think>\n\n"


def test_another_model_of_the_family_is_a_folder(root, pipeline, tmp_path):
    """No line of code knows its name: its settings, its lock, and the files that the lock leads to."""
    folder = shutil.copytree(root / "weights" / "z-image-turbo", tmp_path / "weights" / "another")
    settings = (folder / "model.yaml").read_text().replace("name: z-image-turbo", "name: another")
    (folder / "model.yaml").write_text(settings)
    components = load_folder(folder, cache=tmp_path / "cache")
    plan = plan_request(Request("a red apple", width=64, height=64, num_inference_steps=2, seed=7), components.model)
    (image,) = run_plan(plan, components, Timings(), log=io.StringIO())
    (expected,) = pipeline(
        "a red apple",
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=0,
        generator=torch.Generator("cpu").manual_seed(7),
    ).images
    assert image.tobytes() == expected.tobytes()
