"""LoRA files for the emoji model, made by peft itself and then written in every format that trainers use."""

import copy
import json
from pathlib import Path

import torch
from diffusers import ZImageTransformer2DModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
RANK, ALPHA = 4, 6.0  # a scaling of 1.5: whoever forgets alpha makes another image
Tensors = dict[str, torch.Tensor]


def peft_original(transformer: torch.nn.Module, seed: int = 0, strength: float = 0.06, rank: int = RANK, **settings):
    """A copy of the transformer with a LoRA injected by peft, and the LoRA's tensors by peft's names."""
    config = LoraConfig(**{"r": rank, "lora_alpha": ALPHA, "target_modules": ATTENTION, **settings})
    model = inject_adapter_in_model(config, copy.deepcopy(transformer), "default")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * strength)
    return model.eval(), get_peft_model_state_dict(model)


def peft_tensors(transformer: torch.nn.Module, seed: int = 0, **settings) -> Tensors:
    return peft_original(transformer, seed, **settings)[1]


def alphas(tensors: Tensors) -> Tensors:
    return {name.replace(".lora_A.weight", ".alpha"): torch.tensor(ALPHA) for name in tensors if ".lora_A." in name}


def renamed(tensors: Tensors, down: str = ".lora_A.weight", up: str = ".lora_B.weight", prefix: str = "") -> Tensors:
    return {
        prefix + name.replace(".lora_A.weight", down).replace(".lora_B.weight", up): tensor.contiguous()
        for name, tensor in tensors.items()
    }


def kohya(tensors: Tensors, prefix: str = "lora_unet_") -> Tensors:
    named = {}
    for name, tensor in renamed({**tensors, **alphas(tensors)}, ".lora_down.weight", ".lora_up.weight").items():
        part = next(part for part in (".lora_down.weight", ".lora_up.weight", ".alpha") if name.endswith(part))
        named[prefix + name.removesuffix(part).replace(".", "_") + part] = tensor
    return named


def fused(tensors: Tensors) -> Tensors:
    """The original checkpoint's names, with one matrix for q, k and v: block-diagonal ranks make it the same LoRA."""
    named = {name: tensor for name, tensor in {**tensors, **alphas(tensors)}.items() if ".attention." not in name}
    for name in [name for name in tensors if name.endswith("to_q.lora_A.weight")]:
        stem = name.removesuffix("to_q.lora_A.weight")
        named[f"{stem}qkv.lora_A.weight"] = torch.cat([tensors[f"{stem}to_{one}.lora_A.weight"] for one in "qkv"])
        named[f"{stem}qkv.lora_B.weight"] = torch.block_diag(
            *[tensors[f"{stem}to_{one}.lora_B.weight"] for one in "qkv"]
        )
        named[f"{stem}qkv.alpha"] = torch.tensor(ALPHA * 3)  # three times the rank, the same scaling
        for part in ("lora_A", "lora_B"):
            named[f"{stem}out.{part}.weight"] = tensors[f"{stem}to_out.0.{part}.weight"]
        named[f"{stem}out.alpha"] = torch.tensor(ALPHA)
    return renamed(named, prefix="diffusion_model.")


PEFT_CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}
METADATA = {"lora_adapter_metadata": json.dumps({"transformer.r": RANK, "transformer.lora_alpha": ALPHA})}

# name: (tensors of the file, metadata in the file, adapter_config.json beside it)
FORMATS = {
    "diffusers": (lambda t: renamed(t, prefix="transformer."), METADATA, None),
    "peft": (lambda t: renamed(t, prefix="base_model.model."), None, PEFT_CONFIG),
    "peft with the adapter's name": (
        lambda t: renamed(t, ".lora_A.default.weight", ".lora_B.default.weight", "base_model.model."),
        None,
        PEFT_CONFIG,
    ),
    "ComfyUI (diffusion_model)": (
        lambda t: renamed({**t, **alphas(t)}, ".lora_down.weight", ".lora_up.weight", "diffusion_model."),
        None,
        None,
    ),
    "ai-toolkit": (lambda t: renamed({**t, **alphas(t)}, prefix="diffusion_model."), None, None),
    "kohya and musubi": (kohya, None, None),
    "dots (lora.down)": (lambda t: renamed({**t, **alphas(t)}, ".lora.down.weight", ".lora.up.weight"), None, None),
    "original names, fused qkv": (fused, None, None),
}


def write_lora(path: Path, tensors: Tensors, form: str = "diffusers") -> Path:
    """Write a LoRA in one of FORMATS, and the adapter_config.json beside it where the format has one."""
    convert, metadata, config = FORMATS[form]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(convert(tensors), path, metadata)
    if config:
        (path.parent / "adapter_config.json").write_text(json.dumps(config))
    return path


def write_loras(model: Path, folder: Path, count: int) -> list[Path]:
    """Write that many LoRAs, each another one, for the transformer of a model's folder."""
    transformer = ZImageTransformer2DModel.from_pretrained(model / "transformer", dtype=torch.float32)
    return [write_lora(folder / f"{seed}.safetensors", peft_tensors(transformer, seed)) for seed in range(count)]
