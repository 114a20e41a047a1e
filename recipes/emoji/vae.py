"""Train the VAE on crops of the icons, drawn at every size that the canvases use.

    python -m recipes.emoji.vae --minutes 60 [--start FOLDER] [--decoder-only]

By the clock, with checkpoints and resume, like `recipes.emoji.transformer`. `--decoder-only` leaves the encoder as it
is, and with it the latents that a transformer was trained on. Writes `vae/` of the weights folder when done.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from recipes.emoji import data
from recipes.emoji.clock import Clock, load_checkpoint, save_checkpoint

CONFIG = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (32, 64, 128, 128),
    "layers_per_block": 1,
    "latent_channels": 8,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 128,
}
SIZES = [data.SQUARE, (144, 112), (176, 96), (192, 80)]  # every side that icons are drawn at
BATCH, CROP = 16, 64  # pixels
RATE = 1e-3
EDGE_WEIGHT = 0.5  # of the differences between neighbouring pixels: outlines are what makes an emoji
KL_WEIGHT = 1e-6


def draw_crops(pictures: list[np.ndarray], random: np.random.Generator) -> torch.Tensor:
    """(BATCH, 3, CROP, CROP) in -1..1, half of them square canvases."""
    crops = []
    for _ in range(BATCH):
        images = pictures[0 if random.random() < 0.5 else random.integers(len(pictures))]
        image = images[random.integers(len(images))]
        top, left = (random.integers(0, side - CROP + 1, endpoint=False) for side in image.shape[:2])
        crops.append(image[top : top + CROP, left : left + CROP])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1


def reconstruction_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    loss = F.l1_loss(made, wanted) + F.mse_loss(made, wanted)
    for axis in (2, 3):
        loss = loss + EDGE_WEIGHT * F.l1_loss(made.diff(dim=axis), wanted.diff(dim=axis))
    return loss


@torch.no_grad()
def latent_statistics(vae: AutoencoderKL, images: np.ndarray) -> tuple[float, float]:
    """(shift, 1 / standard deviation) of the latents of some icons: the VAE's shift_factor and scaling_factor."""
    pixels = torch.from_numpy(images[::4]).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = torch.cat([vae.encode(part).latent_dist.mode() for part in pixels.split(32)])
    return latents.mean().item(), 1 / latents.std().item()


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: np.ndarray) -> float:
    """Mean peak signal-to-noise ratio in dB of icons after encoding and decoding."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    errors = [((vae(part).sample.clamp(-1, 1) - part) ** 2).mean(dim=(1, 2, 3)) for part in pixels.split(32)]
    return (10 * torch.log10(4 / torch.cat(errors))).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="training time, all sittings together")
    parser.add_argument("--start", type=Path, help="VAE folder to begin from (default: from nothing)")
    parser.add_argument("--decoder-only", action="store_true", help="leave the encoder as it is")
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"), help="folder to write vae/ into")
    options = parser.parse_args()

    icons, images = data.load_dataset()
    pictures = [images, *(np.stack([data.render(icon.svg, size) for icon in icons]) for size in SIZES[1:])]
    vae = AutoencoderKL.from_pretrained(options.start) if options.start else AutoencoderKL(**CONFIG)
    vae.float().train()
    if options.decoder_only:
        vae.encoder.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in vae.parameters() if p.requires_grad], RATE, betas=(0.9, 0.99))
    checkpoint = data.WORK / "vae.pt"
    state = load_checkpoint(checkpoint, {"model": vae, "optimizer": optimizer})
    random = np.random.default_rng(state["step"])
    torch.manual_seed(state["step"])
    clock = Clock(state, options.minutes * 60, decay_from=0.2)
    for factor in clock:
        for group in optimizer.param_groups:
            group["lr"] = RATE * factor
        pixels = draw_crops(pictures, random)
        posterior = vae.encode(pixels).latent_dist
        latents = posterior.mode() if options.decoder_only else posterior.sample()
        loss = reconstruction_loss(vae.decode(latents).sample, pixels)
        if not options.decoder_only:
            loss = loss + KL_WEIGHT * posterior.kl().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state["losses"].append(loss.item())
        if state["due"]:
            save_checkpoint(checkpoint, {"model": vae, "optimizer": optimizer}, state)
    save_checkpoint(checkpoint, {"model": vae, "optimizer": optimizer}, state)
    if clock.stopped:
        return  # an unfinished VAE is no part of the model

    vae.eval()
    if not options.decoder_only:
        shift, scale = latent_statistics(vae, images)
        vae.register_to_config(shift_factor=round(shift, 5), scaling_factor=round(scale, 5))
    print(f"step {state['step']}, {psnr(vae, images[::4]):.2f} dB on whole icons")
    vae.to(torch.bfloat16).save_pretrained(options.weights / "vae")


if __name__ == "__main__":
    main()
