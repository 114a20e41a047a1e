"""One training of the emoji model, taken step by step: by Easel's loop, and by a minimal one with none of its code.

As a program, `python -m benches.train_sides SIDE STEPS`, one side takes its steps and prints its peak memory in bytes.
Both load the whole pipeline, encode the same images and captions, and train a LoRA of peft in the same layers, of one
rank, in batches of four, with AdamW, warm-up and clipping, and with nothing preserved.
"""

import io
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches.cold_start_side import memory
from diffusers import ZImagePipeline
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image

from easel.inference.loader import load_components
from easel.inference.options import Options
from easel.models import load_model
from easel.training.checkpoint import Progress
from easel.training.dataset import read_dataset
from easel.training.drawing import release_text_encoder
from easel.training.layers import TrainedLayers
from easel.training.loop import MAX_GRADIENT_NORM, WEIGHT_DECAY, Trainer, new_optimizer
from easel.training.prepare import prepare
from easel.training.quality import drawn_prompts
from easel.training.settings import LORA_TARGETS, make_settings
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "weights" / "emoji"
IMAGES = REPOSITORY / "samples" / "training" / "tok.zip"
BATCH, RANK, RATE, SEED, STEPS = 4, 16, 1e-3, 1, 300
Step = Callable[[int], float]  # of the step's number, which returns its loss


def easel(preserve: bool = False) -> Step:
    model = load_model(MODEL)
    components = load_components(
        model,
        start_reading(ensure_snapshot(model, WeightPaths.from_environ(os.environ), log=print)),
        "cpu",
        Options(memory="resident"),
    )
    inputs = {"batch_size": BATCH, "lora_rank": RANK, "learning_rate": RATE, "steps": STEPS, "caption_dropout_rate": 0}
    settings = make_settings({"input_images": IMAGES, **inputs, "seed": SEED}, model)
    dataset = read_dataset(IMAGES, settings.captions)
    prepared = prepare(dataset, components, settings)
    prompts = [settings.validation_prompt, *drawn_prompts(dataset, settings.captions, model)]
    components, _ = release_text_encoder(components, prompts)
    layers = TrainedLayers(components.transformer, LORA_TARGETS[settings.lora_targets], RANK, SEED)
    optimizer = new_optimizer(layers, RATE, components.transformer.device)
    prepared = prepared if preserve else replace(prepared, preserved=())
    return Trainer(components, prepared, layers, optimizer, settings, Progress(SEED)).take_step


def preserving() -> Step:
    return easel(preserve=True)


def minimal() -> Step:
    """What a script for this one model and data set has to do, and no more."""
    pipeline: Any = ZImagePipeline.from_pretrained(MODEL, dtype=torch.float32, local_files_only=True)
    latents, embeds = encode(pipeline)
    transformer = pipeline.transformer.requires_grad_(False)
    targets = r"layers\.\d+\.attention\.(to_q|to_k|to_v|to_out\.0)"
    inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets), transformer)
    trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20))
    shift = pipeline.scheduler.config.shift

    def step(_number: int) -> float:
        chosen = torch.randperm(len(latents))[:BATCH].tolist()
        clean = latents[chosen]
        sigmas = torch.sigmoid(torch.randn(BATCH))
        sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
        noise, mix = torch.randn_like(clean), sigmas.view(-1, 1, 1, 1)
        noisy = ((1 - mix) * clean + mix * noise).unsqueeze(2)
        output = transformer(list(noisy), 1 - sigmas, [embeds[k] for k in chosen], return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(torch.stack(list(output)).squeeze(2), clean - noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        return loss.item()

    return step


@torch.no_grad()
def encode(pipeline: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Latents (images, channels, height / 8, width / 8) and embeddings of the captions."""
    images, captions = [], []
    with zipfile.ZipFile(IMAGES) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(".png"):
                images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).copy())
            else:
                captions.append(content.decode())
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1
    vae = pipeline.vae
    latents = torch.cat([vae.encode(image[None]).latent_dist.mode() for image in pixels])
    embeds, _ = pipeline.encode_prompt(captions, do_classifier_free_guidance=False, max_sequence_length=64)
    return (latents - vae.config.shift_factor) * vae.config.scaling_factor, list(embeds)


SIDES = {"easel": easel, "minimal": minimal, "preserving": preserving}


def main() -> None:
    step = SIDES[sys.argv[1]]()
    for number in range(int(sys.argv[2])):
        step(number)
    print(memory("VmHWM"))  # ru_maxrss would begin with that of the process which started this one


if __name__ == "__main__":
    main()
