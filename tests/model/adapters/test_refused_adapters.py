"""LoRAs that cannot be honoured in full are refused."""

import json
import math

import pytest
import torch
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file

from easel.errors import AdapterError
from easel.lora import adapter as adapters
from easel.lora.adapter import load_adapter
from easel.lora.settings import AdapterSettings
from tests.model.adapters.common import adapter_file, saved
from tests.support.lora_files import RANK, peft_tensors, renamed, write_lora


def spoiled(tensors, change):
    changed = dict(renamed(tensors, prefix="transformer."))
    change(changed, next(iter(changed)))
    return changed


def drop(tensors, key):
    del tensors[key]


def fill(value):
    def change(tensors, key):
        tensors[key] = torch.full_like(tensors[key], value)

    return change


def add(name, shape=(4, 4), dtype=torch.float32):
    def change(tensors, _key):
        tensors[name] = torch.zeros(shape, dtype=dtype)

    return change


def replace_all(prefix):
    def change(tensors, _key):
        named = {f"{prefix}.{k}.lora_{'AB'[k % 2]}.weight": tensor for k, tensor in enumerate(tensors.values())}
        tensors.clear()
        tensors.update(named)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (drop, "half of a pair is missing"),
        (fill(math.nan), "NaN or infinite"),
        (fill(math.inf), "NaN or infinite"),
        (
            add("transformer.layers.99.attention.to_q.lora_A.weight"),
            "1 of its .*layers.99.*larger model",
        ),
        (add("text_encoder.layers.0.q_proj.lora_A.weight"), "text encoder are not used"),
        (add("transformer.layers.0.attention.to_q.lokr_w1"), "LoKr, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.hada_w1_a"), "LoHa, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.dora_scale"), "DoRA, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.lora_magnitude_vector.weight"), "DoRA, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.lora_mid.weight"), "convolution cores"),
        (add("transformer.layers.0.attention.to_q.diff"), "full-rank differences"),
        (add("transformer.layers.0.attention.to_q.lora_B.bias"), "changes biases"),
        (add("transformer.layers.0.attention.to_q.lora_down.weight"), "two tensors for one place"),
        (replace_all("double_blocks"), "another base model.*FLUX"),
        (replace_all("lora_unet_down_blocks_1_attentions"), "another base model.*Stable Diffusion"),
        (replace_all("joint_blocks"), "another base model.*Stable Diffusion 3"),
        (replace_all("transformer_blocks"), "another base model.*Qwen-Image"),
        (replace_all("somewhere"), "another base model: none of its"),
        (lambda tensors, key: tensors.update({key: tensors[key].to(torch.int64)}), "torch.int64, not fractional"),
        (lambda tensors, key: tensors.update({key: torch.zeros(RANK, 3840)}), r"\(4, 3840\).*another size"),
        (lambda tensors, key: tensors.update({key: torch.zeros(RANK, 5, 1, 1)}), r"\(4, 5\)"),
        (lambda tensors, key: tensors.clear(), "holds no tensors"),
    ],
)
def test_what_cannot_be_honoured_in_full_is_refused(components, tensors, tmp_path, change, sentence):
    file = saved(tmp_path / "bad.safetensors", spoiled(tensors, change))
    with pytest.raises(AdapterError, match=sentence):
        load_adapter(file, components.transformer)


def test_ranks_over_256_are_refused(components, base, tmp_path):
    large = peft_tensors(base, rank=257, target_modules=["layers.0.attention.to_q"])
    with pytest.raises(AdapterError, match="rank 257; at most 256"):
        load_adapter(saved(tmp_path / "large.safetensors", large), components.transformer)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"peft_type": "LOKR"}, "it is LOKR"),
        ({"use_dora": True}, "it is DoRA"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"lora_alpha": math.inf}, "NaN or infinite"),
        ({"lora_alpha": 10**400}, "lora_alpha overflows a float"),
        ({"lora_alpha": 10**400, "use_rslora": True}, "lora_alpha overflows a float"),
        ({"alpha_pattern": {"(a+)+$": 3}}, r"alpha_pattern has '\(a\+\)\+\$'; .* without repeated groups"),
        ({"alpha_pattern": {"((((a{99}){99}){99}){99}){99}": 3}}, "without repeated groups"),
        ({"alpha_pattern": {"(?:.?|.?)" * 45 + "[A-Z]": 3}}, "takes too long"),
        ({"alpha_pattern": {"(to_q": 3}}, "alpha_pattern has '\\(to_q'"),
        ({"alpha_pattern": {"a" * 501: 3}}, "at most 500 characters"),
        ({"alpha_pattern": dict.fromkeys(map(str, range(2001)), 3)}, "is 2001 names; .* at most 2000 names"),
        ({"alpha_pattern": 3}, "alpha_pattern is 3; it must be a mapping"),
        ({"rank_pattern": 3}, "rank_pattern is 3; it must be a mapping"),
        ({"r": 8}, "say rank 8 for .*, and its tensors have 4"),
        ({"r": RANK, "rank_pattern": {"to_q": 8}}, "say rank 8 for .*to_q"),
        ({"r": True}, "say rank True"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(components, tensors, tmp_path, config, sentence):
    save_file(renamed(tensors), tmp_path / "lora.safetensors")
    with pytest.raises(AdapterError, match=sentence):
        load_adapter(adapter_file(tmp_path / "lora.safetensors", config), components.transformer)


class Counted(dict):
    """Counts how often it is gone through."""

    passes = 0

    def items(self):
        self.passes += 1
        return super().items()


def test_alpha_pattern_is_read_once_however_many_layers_there_are(components, tensors, tmp_path):
    """A million names in it cost 88 s when each layer read them all."""
    save_file(renamed(tensors), tmp_path / "lora.safetensors")
    patterns = Counted({f"layer_{k}": 1 for k in range(1000)})
    load_adapter(adapter_file(tmp_path / "lora.safetensors", {"alpha_pattern": patterns}), components.transformer)
    assert patterns.passes == 1


LAYERS = ("to_q", "a.to_q", "b.a.to_q", "b.to_q", "to_k", "layers.1.attention.to_out.0", "layers.11.feed_forward.w1")


@pytest.mark.parametrize(
    "patterns",
    [
        {"a.to_q": 2, "to_q": 3, "^b.a.to_q": 4, "o_q": 5},
        {"^to_q": 2, "to_q": 3},
        {r"layers\.\d+\.attention\..*": 2, ".*w1": 3},
        {r"layers\.(1|2)\..*": 2, r"layers\.[0-9]{2}\.(?:feed_forward|attention)\.w[123]": 3},
        {"to_[qk]": 2, r"[^.]+\.to_q": 3},
        {".*": 2, "to_q": 3},
        {"to_q|to_k": 2, "to_out.0$": 3},
        {r"(a\.)?to_q": 2, "to_out": 3, "w?": 4},
    ],
)
def test_patterns_are_read_as_peft_reads_them(patterns):
    settings = AdapterSettings({}, {"lora_alpha": 1, "alpha_pattern": patterns})
    by_peft = [patterns.get(get_pattern_key(list(patterns), layer), 1) for layer in LAYERS]
    assert [settings.scaling((layer,), 1, 1, None) for layer in LAYERS] == by_peft


def test_a_matrix_for_three_layers_goes_by_its_own_name_and_by_theirs():
    settings = AdapterSettings({}, {"r": 4, "lora_alpha": 8, "alpha_pattern": {"attention.qkv": 2}})
    assert settings.scaling(("a.attention.to_q", "a.attention.qkv"), 4, 3, None) == 2 / 4
    assert settings.scaling(("a.attention.to_q", "a.attention.qkv"), 12, 3, None) == 2 / 4, "ranks side by side"
    assert settings.scaling(("a.attention.to_out.0", "a.attention.out"), 4, 1, None) == 8 / 4


@pytest.mark.parametrize("many", [100_000, 1_000_000])
def test_large_metadata_are_refused(components, tensors, tmp_path, many):
    patterns = {"transformer.alpha_pattern": {f"layer_{k}": 1 for k in range(many)}}
    file = saved(tmp_path / "lora.safetensors", renamed(tensors), {"lora_adapter_metadata": json.dumps(patterns)})
    with pytest.raises(AdapterError, match="at most"):
        load_adapter(file, components.transformer)


def test_a_file_that_lists_too_many_tensors_is_refused_before_they_are_looked_up(components, tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "safe_open", None)
    many = {f"layer.{k}.lora_A.weight": torch.zeros(0) for k in range(90_000)}
    file = saved(tmp_path / "lora.safetensors", many)
    with pytest.raises(AdapterError, match="its list of tensors has [0-9]+ bytes; at most 5000000 are read"):
        load_adapter(file, components.transformer)


def test_sentence_stays_short_however_long_a_name_is(components, tensors, tmp_path):
    key = next(iter(tensors)).removesuffix(".lora_A.weight")
    for name, shape in (("a" * 100_000, (3, 3)), ("b" * 100_000, (1, 1, 1))):
        down, up = f"{key}.lora_A.{name}.weight", f"{key}.lora_B.{name}.weight"
        file = saved(tmp_path / "lora.safetensors", {down: torch.zeros(shape), up: torch.zeros(shape)})
        with pytest.raises(AdapterError) as caught:
            load_adapter(file, components.transformer)
        assert len(str(caught.value)) < 1000


def test_names_cannot_begin_a_line_of_the_log(components, tmp_path):
    file = saved(tmp_path / "lora.safetensors", {"a\nwarning: all is well\u2028.lora_A.weight": torch.zeros(1)})
    with pytest.raises(AdapterError, match="warning") as caught:
        load_adapter(file, components.transformer)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_file_that_is_no_whole_safetensors_file_is_refused(components, tensors, tmp_path, cut):
    whole = write_lora(tmp_path / "lora.safetensors", tensors)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(AdapterError, match="not a valid safetensors file"):
        load_adapter(adapter_file(tmp_path / "cut.safetensors"), components.transformer)
