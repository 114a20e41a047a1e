"""Z-Image-Turbo at a tiny size: real classes, random numbers, and files with the real layout, names and number types.

What the real files are like follows from their published sizes: with the names below and the real shapes,
`tests/model/test_tiny_z_image.py` comes to the same number of bytes.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from easel.weights.manifest import LockedFile, digest_of, read_manifest
from easel.weights.weight_sources import parse_weight_source
from tests.hub_server import Repo
from tests.safety_checker import write_red_detector

REPOSITORY = Path(__file__).resolve().parents[1]
MODEL = REPOSITORY / "weights" / "z-image-turbo"
WEIGHTS = "diffusion_pytorch_model.safetensors"
Tensors = Mapping[str, torch.Tensor]

TRANSFORMER = {
    "axes_dims": [8, 12, 12],
    "axes_lens": [1536, 512, 512],
    "cap_feat_dim": 32,
    "dim": 64,
    "n_heads": 2,
    "n_kv_heads": 2,
    "n_layers": 3,
}
# As in the real one: as many layers (model.yaml names the last), and heads that are wider than their share.
TEXT_ENCODER = {
    "architectures": ["Qwen3ForCausalLM"],
    "dtype": "bfloat16",
    "head_dim": 24,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 36,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "vocab_size": 512,
}
VAE = {
    "block_out_channels": (8, 16, 32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 16,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
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


def write_tiny_z_image(folder: Path) -> None:
    """Write every file that weights/z-image-turbo/weights.lock lists, tiny and random, always the same."""
    transformer, text_encoder, vae = tiny_modules()
    transformer.save_config(folder / "transformer")
    text_encoder.config.save_pretrained(folder / "text_encoder")
    vae.save_config(folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_config(folder / "scheduler")
    write_tokenizer(folder / "tokenizer")
    write_red_detector(folder / "safety_checker")
    shutil.copy(MODEL / "model_index.json", folder)
    save(original_transformer(transformer.state_dict()), folder / "transformer" / WEIGHTS, torch.bfloat16)
    save(original_text_encoder(text_encoder.state_dict()), folder / "text_encoder/model.safetensors", torch.bfloat16)
    save(vae.state_dict(), folder / "vae" / WEIGHTS, torch.bfloat16, {"format": "pt"})


def tiny_modules() -> tuple[ZImageTransformer2DModel, Qwen3Model, AutoencoderKL]:
    """What is written, before it is rounded to bfloat16."""
    modules = ZImageTransformer2DModel(**TRANSFORMER), Qwen3Model(Qwen3Config(**TEXT_ENCODER)), AutoencoderKL(**VAE)
    for seed, module in enumerate(modules):
        randomize(module, seed)
    return modules


def plain_pipeline(folder: Path) -> ZImagePipeline:
    """The files in `folder` as diffusers and transformers themselves load them, in bfloat16: what Easel must equal."""
    dtype = torch.bfloat16
    transformer = folder / "transformer"
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        text_encoder=Qwen3Model.from_pretrained(folder / "text_encoder", dtype=dtype),
        tokenizer=Qwen2Tokenizer.from_pretrained(folder / "tokenizer"),
        transformer=ZImageTransformer2DModel.from_single_file(
            str(transformer / WEIGHTS), config=str(transformer), torch_dtype=dtype
        ),
        vae=AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int) -> None:
    """Random parameters that keep numbers near 1 in any layer, and let each layer change the result."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(noise * 0.1 + (1 if name.endswith("weight") else 0))


def save(tensors: Tensors, path: Path, dtype: torch.dtype, metadata: dict[str, str] | None = None) -> None:
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}, path, metadata)


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


def tiny_z_image_model(root: Path) -> Path:
    """A root that Cog serves, whose z-image-turbo is the tiny one: its folder, `root/weights/z-image-turbo`.

    `model.yaml` is the real one. The lock names the same files as the real one, with the tiny files' sizes and digests;
    those that are not beside it have the address of a file in `root/checkpoint` as their source.
    """
    folder, checkpoint = root / "weights" / MODEL.name, root / "checkpoint"
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "predict.py", root)
    for name in ("model.yaml", "model_index.json"):
        shutil.copy(MODEL / name, folder)
    write_tiny_z_image(checkpoint)
    write_lock(folder, {path: (checkpoint / path).as_uri() for path in paths_with_a_source()})
    return folder


def paths_with_a_source() -> list[str]:
    return [file.path for file in read_manifest(MODEL).files if file.source]


def hub_repos(checkpoint: Path) -> dict[str, Repo]:
    """The repositories that the real lock names, at its revisions, with the tiny files under the real filenames."""
    repos: dict[str, Repo] = {}
    for file in read_manifest(MODEL).files:
        if file.source:
            source = parse_weight_source(file.source)
            repo = repos.setdefault(source.repo_id, Repo(commit=source.revision))
            of_size = repo.large if file.path.endswith(".safetensors") else repo.files
            of_size[source.filename] = (checkpoint / file.path).read_bytes()
    return repos


def real_sources() -> dict[str, str]:
    return {file.path: file.source for file in read_manifest(MODEL).files if file.source}


def write_lock(folder: Path, sources: Mapping[str, str]) -> None:
    """`folder/weights.lock` as the real one, with these sources, of which the files' sizes and digests are taken."""
    checkpoint = folder.parents[1] / "checkpoint"
    files = []
    for file in read_manifest(MODEL).files:
        path = checkpoint / file.path
        entry = asdict(LockedFile(file.path, path.stat().st_size, digest_of(path), sources.get(file.path)))
        files.append({key: value for key, value in entry.items() if value is not None})
    (folder / "weights.lock").write_text(json.dumps({"files": files}, indent=1) + "\n")
