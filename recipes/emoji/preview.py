"""Fit the linear map that makes previews of latents: weights/emoji/preview.json.

    python -m recipes.emoji.preview

Least squares over the model's own images of grid.txt: each latent's eight channels against the mean colour of the 8 x 8
pixels that the VAE makes of it. Says what share of the colours' variance it explains.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from easel.files import write_atomically
from easel.inference.embeddings import EmbeddingMemory
from easel.inference.loader import Components, default_device, load_components
from easel.inference.options import Options
from easel.inference.pipeline import decode_latents, denoise, encode_prompt
from easel.models import load_model
from easel.plan import plan_request
from easel.progress import Bar
from easel.request import Request
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths

DIGITS = 4  # of a number in the file


@torch.inference_mode()
def samples(components: Components, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents (N, 8) and their colours (N, 3) of 0 to 1."""
    latents, colours = [], []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for seed, prompt in enumerate(prompts):
            plan = plan_request(Request(prompt, seed=seed), components.model)
            pipeline = components.new_pipeline(plan.kind)
            pipeline.set_progress_bar_config(disable=True)
            components.attention.set(guided=plan.guidance_scale > 0)
            embeds = encode_prompt(pipeline, plan, components, nowhere, EmbeddingMemory())
            latent = denoise(pipeline, plan, seed, embeds, None, Bar(file=nowhere))
            image = torch.from_numpy(np.asarray(decode_latents(pipeline, latent)).copy()).permute(2, 0, 1) / 255
            latents.append(latent[0].flatten(1).T)
            colours.append(F.avg_pool2d(image, 8).flatten(1).T)
    return torch.cat(latents).float(), torch.cat(colours)


def fit(latents: torch.Tensor, colours: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the map (9, 3), its last row the bias, and the share of the variance that it explains."""
    whole = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
    found = torch.linalg.lstsq(whole, colours).solution
    rest = (whole @ found - colours).var(dim=0).sum() / colours.var(dim=0).sum()
    return found, 1 - rest.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"), help="the model's folder")
    folder: Path = parser.parse_args().weights
    model = load_model(folder)
    reading = start_reading(ensure_snapshot(model, WeightPaths.from_environ(os.environ), log=print))
    components = load_components(model, reading, default_device(), Options())
    prompts = [line for line in Path(__file__).with_name("grid.txt").read_text(encoding="utf-8").splitlines() if line]
    found, share = fit(*samples(components, prompts))
    *weights, bias = [[round(value, DIGITS) for value in row] for row in found.tolist()]
    with write_atomically(folder / "preview.json") as file:
        file.write((json.dumps({"weights": weights, "bias": bias}) + "\n").encode())
    print(f"{len(prompts)} images; the map explains {share:.1%} of the variance of their colours.")


if __name__ == "__main__":
    main()
