"""Spellings of LoRA files that people have: each is the plain one, number for number, or is refused in words."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from easel.errors import AdapterError
from easel.lora.adapter import Adapter, load_adapter
from easel.lora.keys import fold, sort_keys
from tests.model.adapters.common import adapter_file
from tests.support.lora_files import RANK, peft_tensors, renamed


@pytest.fixture(scope="module")
def tensors(components):
    return peft_tensors(components.transformer.module)


@pytest.fixture
def load(components, tmp_path):
    def load(tensors: dict, metadata: dict | None = None, config: dict | None = None) -> Adapter:
        path = tmp_path / "lora.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
        return load_adapter(adapter_file(path, config), components.transformer)

    return load


def numbers(adapter: Adapter) -> dict:
    return {layer: (pair.down.tolist(), pair.up.tolist(), pair.scaling) for layer, pair in adapter.pairs.items()}


def spelled(form: str):
    """The name of a tensor, `form` with LAYER (dots) or FLAT (underscores) and PART (down or up) filled in."""

    def name(key: str) -> str:
        layer = key.partition(".lora_")[0]
        part = "down" if ".lora_A." in key else "up"
        letter = "A" if part == "down" else "B"
        return form.replace("LAYER", layer).replace("FLAT", fold(layer)).replace("PART", part).replace("LETTER", letter)

    return name


@pytest.mark.parametrize(
    "form",
    [
        "transformer._orig_mod.LAYER.lora_LETTER.weight",
        "_orig_mod.LAYER.lora_LETTER.weight",
        "module.LAYER.lora_LETTER.weight",
        "module._orig_mod.transformer.LAYER.lora_LETTER.weight",
        "base_model.model._orig_mod.LAYER.lora_LETTER.weight",
        "dit.LAYER.lora_LETTER.weight",
        "pipe.dit.LAYER.lora_LETTER.weight",
        "diffusion_model.LAYER.lora.lora_LETTER.weight",
        "transformer.LAYER.lora_LETTER.my-style.weight",
        "lora_unet__FLAT.lora_PART.weight",
        "lora_unet_FLAT.lora_PART.weight",
        "lycoris_FLAT.lora_PART.weight",
        "lora_transformer_FLAT.lora.PART.weight",
        "transformer_FLAT.lora_LETTER.weight",
        "transformer..LAYER.lora_LETTER.weight",
    ],
)
def test_every_spelling_is_the_same_lora(load, tensors, form):
    name = spelled(form)
    assert numbers(load({name(key): tensor for key, tensor in tensors.items()})) == numbers(load(renamed(tensors)))


def test_a_name_that_means_two_layers_when_it_is_folded_is_refused():
    keys = ["a_b_c.lora_A.weight", "a_b_c.lora_B.weight"]
    with pytest.raises(AdapterError, match="none of its 2 keys fits"):
        sort_keys(keys, ["a.b_c", "a_b.c"])
    assert sort_keys(["a.b_c.lora_A.weight", "a.b_c.lora_B.weight"], ["a.b_c", "a_b.c"])


def test_matrices_kept_as_convolutions_of_one_pixel_are_matrices(load, tensors):
    kernels = {name: tensor[:, :, None, None] for name, tensor in renamed(tensors).items()}
    assert numbers(load(kernels)) == numbers(load(renamed(tensors)))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float16])
def test_alpha_may_be_a_whole_number(load, tensors, dtype):
    def with_alpha(dtype):
        alphas = {
            name.replace("lora_A.weight", "alpha"): torch.tensor(2, dtype=dtype) for name in tensors if "_A." in name
        }
        return {**tensors, **alphas}

    assert numbers(load(with_alpha(dtype))) == numbers(load(with_alpha(torch.float32)))


@pytest.mark.parametrize(
    "metadata",
    [
        {"lora_alpha": "1", "lora_rank": "4"},
        {"network_alpha": "1.0"},
        {"ss_network_alpha": "1", "ss_network_dim": "4"},
        {"alpha": "1e0"},
        {"transformer.lora_alpha": "1"},
        {"ss_network_alpha": "1", "lora_alpha": "1.0", "alpha": "None"},
    ],
)
def test_an_alpha_that_stands_in_the_header_alone_counts(load, tensors, metadata):
    assert {pair.scaling for pair in load(renamed(tensors), metadata).pairs.values()} == {1 / RANK}


def test_an_alpha_among_the_tensors_or_in_the_settings_comes_first(load, tensors):
    alphas = {name.replace("lora_A.weight", "alpha"): torch.tensor(2.0) for name in tensors if "_A." in name}
    adapter = load({**tensors, **alphas}, {"ss_network_alpha": "1"})
    assert {pair.scaling for pair in adapter.pairs.values()} == {2 / RANK}


@pytest.mark.parametrize(
    ("metadata", "config", "sentence"),
    [
        (
            {"lora_alpha": "1", "ss_network_alpha": "4"},
            None,
            "contradict each other .*'lora_alpha' 1.0",
        ),
        ({"lora_alpha": "1"}, {"lora_alpha": 10**400}, "contradict each other"),
        ({"network_alpha": "much"}, None, "'network_alpha' is 'much', not a number"),
        (None, {"init_lora_weights": "pissa_niter_16"}, "was begun with pissa_niter_16, which changes the base model"),
        (None, {"init_lora_weights": "olora"}, "was begun with olora"),
        (None, {"init_lora_weights": "corda"}, "was begun with corda"),
        (None, {"init_lora_weights": "loftq"}, "was begun with loftq"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_words(load, tensors, metadata, config, sentence):
    with pytest.raises(AdapterError, match=sentence):
        load(renamed(tensors), metadata, config)


@pytest.mark.parametrize("begin", [True, "gaussian", "orthogonal", "eva"])
def test_other_ways_of_beginning_leave_the_base_model_as_it_is(load, tensors, begin):
    assert load(renamed(tensors), config={"init_lora_weights": begin}).pairs


LAYER = "transformer.layers.0.attention.to_q"


def add(*keys: str, shape: tuple[int, ...] = (4, 4)):
    return lambda tensors: tensors | {key: torch.zeros(shape) for key in keys}


def sized(inputs: int, outputs: int):
    """The same layers with other sizes."""

    def change(tensors: dict) -> dict:
        return {name: torch.zeros(RANK, inputs) if "lora_A" in name else torch.zeros(outputs, RANK) for name in tensors}

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (sized(3840, 3840), "layer takes .* another size or version of this family"),
        (sized(8, 8), "another size or version of this family, or damaged. Use one made for this model"),
        (
            add(
                "transformer.layers.99.attention.to_q.lora_A.weight",
                "transformer.layers.99.attention.to_q.lora_B.weight",
            ),
            "a larger model of the same family, with more layers",
        ),
        (
            lambda t: {
                k.replace("layers.0", "layers.70").replace("layers.1", "layers.71"): t[k] for k in t if "layers" in k
            },
            "larger model of the same family",
        ),
        (add("lora_unet_layers_99_attention_to_q.lora_down.weight"), "larger model of the same family"),
        (add(f"{LAYER}.magnitude"), "it is DoRA, not a plain LoRA .*extract a plain LoRA"),
        (add(f"{LAYER}.lora_magnitude_vector.default.weight"), "it is DoRA"),
        (add("lora_unet_layers_0_attention_to_q.dora_scale"), "it is DoRA"),
        (add(f"{LAYER}.diff"), "full-rank differences, not a LoRA .*extract a plain LoRA"),
        (add(f"{LAYER}.diff_b"), "also changes biases.*again without biases"),
        (add(f"{LAYER}.lora_B.bias"), "also changes biases"),
        (add(f"{LAYER}.lora_up.bias"), "also changes biases"),
        (lambda t: add(f"{LAYER}.weight")({}), "whole weights of layers .* a fine-tuned model, not a LoRA"),
        (add("layers.0.attention.to_q.weight", "layers.0.attention.to_k.weight"), "whole weights of layers"),
        (add("lora_unet_layers_0_attention_to_q.lokr_w1"), "it is LoKr, not a plain LoRA"),
        (add(f"{LAYER}.oft_blocks"), "it is OFT"),
        (add(f"{LAYER}.alpha", shape=(2,)), r"alpha has the shape \(2,\), not one number"),
        (add("text_encoder.q_proj.lora_A.weight"), "text encoder are not used.*again without them"),
    ],
)
def test_a_refusal_says_what_the_file_is(load, tensors, change, sentence):
    with pytest.raises(AdapterError, match=sentence) as caught:
        load(change(renamed(tensors, prefix="transformer.")))
    assert "another base model" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"step": 100}, "metadata must be texts, and 'step' is 100. Save the file again"),
        ({"a": "b", "epoch": None}, "'epoch' is null"),
        ({"tags": {"a": [1]}}, "'tags' is {\"a\": "),
        ("none", "'__metadata__' are 'none', not a JSON object of texts"),
        ({"lora_adapter_metadata": "{"}, "'lora_adapter_metadata' are '{', not a JSON object"),
        ({"lora_adapter_metadata": "[]"}, "not a JSON object"),
        ({"lora_adapter_metadata": "[" * 50_000}, "not a JSON object"),
    ],
)
def test_bad_metadata_are_called_so(components, tensors, tmp_path, metadata, sentence):
    path = tmp_path / "lora.safetensors"
    save_file(renamed(tensors), path)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    changed = json.dumps({**header, "__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + path.read_bytes()[8 + size :])
    with pytest.raises(AdapterError, match=sentence):
        load_adapter(adapter_file(path), components.transformer)
