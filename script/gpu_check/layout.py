"""Z-Image-Turbo's layout: the layer sizes, tensor names and small files of what weights.lock lists, real and tiny.

What the real files are like follows from their published sizes: with these names and the real shapes,
`tests/model/test_tiny_z_image.py` comes to the same number of bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen3Config, Qwen3Model
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

WEIGHTS = "diffusion_pytorch_model.safetensors"
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Sizes:
    """The configs of the modules, as their own classes take them."""

    transformer: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    vae: Mapping[str, Any]
    safety_checker: Mapping[str, Any]

    def modules(self) -> tuple[ZImageTransformer2DModel, Qwen3Model, AutoencoderKL]:
        """The modules on torch's current default device, with whatever numbers their classes begin with."""
        text_encoder = Qwen3Model(Qwen3Config(**self.text_encoder))
        return ZImageTransformer2DModel(**self.transformer), text_encoder, AutoencoderKL(**self.vae)


QWEN3 = {"architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16", "tie_word_embeddings": True}
# FLUX's, which Z-Image uses unchanged.
FLUX_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 16,
    "layers_per_block": 2,
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
REAL = Sizes(
    transformer={},  # the defaults are Z-Image-Turbo's
    text_encoder={  # Qwen3-4B
        **QWEN3,
        "head_dim": 128,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "vocab_size": 151936,
    },
    vae={**FLUX_VAE, "block_out_channels": (128, 256, 512, 512), "norm_num_groups": 32},
    safety_checker={},  # the defaults are ViT-B's
)
TINY = Sizes(
    transformer={
        "axes_dims": [8, 12, 12],
        "axes_lens": [1536, 512, 512],
        "cap_feat_dim": 32,
        "dim": 64,
        "n_heads": 2,
        "n_kv_heads": 2,
        "n_layers": 3,
    },
    text_encoder={  # As in the real one: 36 layers (model.yaml names the last), heads wider than their share.
        **QWEN3,
        "head_dim": 24,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 36,
        "num_key_value_heads": 1,
        "vocab_size": 512,
    },
    vae={**FLUX_VAE, "block_out_channels": (8, 16, 32, 32), "norm_num_groups": 8},
    safety_checker={
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 4,
        "image_size": 32,
        "patch_size": 8,
        "layer_norm_eps": 1e-3,
    },
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
TEXTS = ["a red apple on a white table", "a dog that runs along the beach in the evening light", "an old blue house"]

# diffusers' names (patterns) and the original ones, in the order in which they are applied.
TRANSFORMER_NAMES = [
    (r"^all_(x_embedder|final_layer)\.2-1\.", r"\1."),
    (r"\.attention\.norm_([qk])\.", r".attention.\1_norm."),
    (r"\.attention\.to_out\.0\.", ".attention.out."),
]


def renamed(name: str, patterns: list[tuple[str, str]]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def original_transformer(tensors: Tensors) -> Tensors:
    """The names of z_image_turbo_bf16.safetensors, with q, k and v in one matrix."""
    original = {}
    for name, tensor in tensors.items():
        if name.endswith(".to_q.weight"):
            parts = [tensors[name.replace("to_q", f"to_{one}")] for one in "qkv"]
            original[name.replace("to_q", "qkv")] = torch.cat(parts)
        elif not re.search(r"\.to_[kv]\.weight$", name):
            original[renamed(name, TRANSFORMER_NAMES)] = tensor
    return original


def original_text_encoder(tensors: Tensors) -> Tensors:
    """The names of qwen_3_4b.safetensors: the model under the head, which shares its matrix with the embedding."""
    return {f"model.{name}": tensor for name, tensor in tensors.items()}


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE as Qwen's, with few merges and the chat template inside tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "additional_special_tokens": SPECIAL_TOKENS[1:],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "eos_token": "<|im_end|>",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
