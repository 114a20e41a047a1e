"""Train the LoRA that the samples use: the emoji in blue ink.

    python -m recipes.emoji.lora --minutes 6        # -> samples/loras/blue-ink.safetensors

It shows what a LoRA for this model is, and no more: rank 4 on the attention layers, in diffusers' format.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from tqdm import tqdm

from recipes.emoji import data
from recipes.emoji.batches import Batches, Captions, encode_images
from recipes.emoji.forward import use_real_rotation
from recipes.emoji.transformer import loss_of

RANK = 4
RATE = 2e-3
PAPER, INK = np.array([255, 255, 255]), np.array([20, 40, 150])  # RGB


def in_ink(images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 in colour -> the same in shades of one ink."""
    light = images.astype(np.float32).mean(axis=-1, keepdims=True) / 255
    inked: np.ndarray = (light * PAPER + (1 - light) * INK).astype(np.uint8)
    return inked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"))
    parser.add_argument("--to", type=Path, default=Path("samples/loras/blue-ink.safetensors"))
    options = parser.parse_args()

    torch.manual_seed(0)
    icons, images = data.load_dataset()
    vae = AutoencoderKL.from_pretrained(options.weights / "vae", dtype=torch.float32)
    latents = {data.SQUARE: (torch.arange(len(icons)), encode_images(vae, in_ink(images)))}
    latents |= {data.OTHER_SIZES[0]: latents[data.SQUARE]}  # the draw of sizes wants others; these are square too
    batches = Batches(latents, Captions(icons, options.weights), seed=0)
    model = ZImageTransformer2DModel.from_pretrained(options.weights / "transformer", dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    model = inject_adapter_in_model(config, model)
    use_real_rotation(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], RATE, weight_decay=0)
    began, total = time.monotonic(), options.minutes * 60
    losses: list[float] = []
    with tqdm(total=round(total), unit="s", desc="training", mininterval=5) as bar:
        while (done := (time.monotonic() - began) / total) < 1:
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (len(losses) + 1) / 10, 2 * (1 - done))
            loss = loss_of(model, done, *batches.next())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.update(round(done * total) - bar.n)
            bar.set_postfix(step=len(losses), loss=f"{np.mean(losses[-20:]):.4f}")
    tensors = {f"transformer.{name}": t.half().contiguous() for name, t in get_peft_model_state_dict(model).items()}
    settings = {"lora_adapter_metadata": json.dumps({"transformer.r": RANK, "transformer.lora_alpha": RANK})}
    options.to.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, options.to, settings)
    print(f"{options.to}: {len(tensors)} tensors, {options.to.stat().st_size / 1e3:.0f} kB, {len(losses)} steps")


if __name__ == "__main__":
    main()
