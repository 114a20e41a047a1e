"""The checkpoint of the cold start: Z-Image-Turbo's layer sizes with fewer layers, 4 GB of random numbers.

Run as a program, so that a bench that only looks whether it is there imports no torch.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from gpu_check.layout import REAL
from safetensors.torch import save_file
from tqdm import tqdm
from transformers import Qwen3Config, Qwen3Model

from easel.models import load_model
from easel.weights.manifest import Manifest, lock_files, lock_folder, write_manifest
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths

MODEL = """# As z-image-turbo, with fewer layers and random weights.
name: {name}
title: Z-Image bench
license: Apache-2.0
source: script/bench cold-start
pipelines: {{text: ZImagePipeline, image: ZImageImg2ImgPipeline, inpaint: ZImageInpaintPipeline}}
dtype: {{default: bfloat16}}
num_inference_steps: 8
guidance_scale: 0
native_area: 1048576
min_area: 4096
max_area: 2097152
multiple: 16
max_prompt_tokens: 512
safety_checker: null
skip: {{text_encoder: [layers.3, norm]}}
hardware: {{device: cpu, memory_gb: 8}}
go_fast: null
attention: {{}}
memory_modes: null
training: null
"""


def write_checkpoint(root: Path, name: str, repository: Path) -> None:
    """`root` with the one model `name`, its files in the store `root/cache`: as after `easel weights pull`."""
    shutil.rmtree(root, ignore_errors=True)
    folder, files = root / "weights" / name, root / "files"
    folder.mkdir(parents=True)
    write_files(files, repository / "weights" / "emoji")
    locked = [replace(file, source=f"file:{files / file.path}") for file in lock_folder(files).files]
    index = "model_index.json"
    shutil.copy(repository / "weights" / "z-image-turbo" / index, folder)
    write_manifest(Manifest((*locked, *lock_files(folder, [index]))), folder)
    (folder / "model.yaml").write_text(MODEL.format(name=name))
    ensure_snapshot(load_model(folder), WeightPaths(root / "cache", None), log=print)
    shutil.rmtree(files)  # last: without it all is there


def write_files(folder: Path, emoji: Path) -> None:
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(emoji / part, folder / part)
    with init_empty_weights():
        modules = {  # the real transformer has 30 layers and 2 of each refiner's
            "transformer": ZImageTransformer2DModel(dim=3840, n_layers=4, n_refiner_layers=1),
            "text_encoder": Qwen3Model(Qwen3Config(**{**REAL.text_encoder, "num_hidden_layers": 4})),
            "vae": AutoencoderKL(**REAL.vae),
        }
    modules["transformer"].save_config(folder / "transformer")
    modules["vae"].save_config(folder / "vae")
    modules["text_encoder"].config.save_pretrained(folder / "text_encoder")
    for part, module in modules.items():
        file = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        shapes = module.state_dict()
        tensors = {key: random_tensor(shapes[key].shape) for key in tqdm(shapes, desc=part, leave=False)}
        save_file(tensors, folder / part / f"{file}.safetensors", metadata={"format": "pt"})


def random_tensor(shape: torch.Size) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.bfloat16).uniform_(-0.02, 0.02)


if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
