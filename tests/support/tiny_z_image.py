"""Z-Image-Turbo at a tiny size: real classes, random numbers, files with the real layout, names and number types."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
from gpu_check.layout import TINY, WEIGHTS, Tensors, original_text_encoder, original_transformer, write_tokenizer
from safetensors.torch import save_file
from transformers import Qwen2Tokenizer, Qwen3Model

from easel.weights.manifest import LockedFile, digest_of, read_manifest
from easel.weights.sources import parse_weight_source
from tests.support.hub_server import Repo
from tests.support.safety_checker import write_red_detector

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "weights" / "z-image-turbo"


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
    modules = TINY.modules()
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
