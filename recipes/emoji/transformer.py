"""Train the transformer: flow matching in the VAE's latent space, conditioned on caption embeddings.

    python -m recipes.emoji.transformer --minutes 120 [--start FOLDER]

The run goes by the clock (`--minutes` of training, all sittings together), so that the learning rate reaches zero
whatever the machine. It writes a checkpoint every five minutes and goes on from it when started again; a longer
`--minutes` goes on from the end of a finished run.

Conventions of ZImagePipeline: the network sees `1 - sigma` as time, and its output is `clean - noise`.
"""

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
from diffusers import ZImageTransformer2DModel
from torch.nn import functional as F

from recipes.emoji import data
from recipes.emoji.batches import Batches, Captions, load_latents
from recipes.emoji.clock import Clock, load_checkpoint, save_checkpoint
from recipes.emoji.forward import check_forward, predict, use_real_rotation
from recipes.emoji.muon import Muon

CONFIG = {
    "all_patch_size": (2,),
    "all_f_patch_size": (1,),
    "in_channels": 8,
    "dim": 256,
    "n_layers": 8,
    "n_refiner_layers": 1,
    "n_heads": 4,
    "n_kv_heads": 4,
    "cap_feat_dim": 384,
    "axes_dims": [16, 24, 24],
    "axes_lens": [128, 64, 64],
}
# sigma = sigmoid(normal(mean, SIGMA_STD)); the mean falls over the training: what a picture shows is decided at high
# noise, its details at low noise.
SIGMA_MEANS, SIGMA_STD = (1.1, 0.7), 1.2
EMA = 0.997
MATRIX_RATE, OTHER_RATE = 2e-3, 8e-4  # Muon for the blocks' matrices, AdamW for the rest
DECAY_FROM = 0.45  # of the time; then the rate falls linearly to zero
CHECKPOINT = "transformer.pt"


def new_model() -> ZImageTransformer2DModel:
    """A transformer at its starting point: modulation and output at zero, padding tokens small."""
    model = ZImageTransformer2DModel(**CONFIG)
    for block in (*model.noise_refiner, *model.layers):
        torch.nn.init.zeros_(block.adaLN_modulation[0].weight)
        torch.nn.init.zeros_(block.adaLN_modulation[0].bias)
    final = model.all_final_layer["2-1"]
    for parameter in (final.linear.weight, final.linear.bias):
        torch.nn.init.zeros_(parameter)
    for token in (model.x_pad_token, model.cap_pad_token):
        torch.nn.init.normal_(token, std=0.02)
    return model


def loss_of(
    model: Any, done: float, latents: torch.Tensor, captions: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """The flow matching loss of one batch, with `done` (0 to 1) of the training over."""
    mean = SIGMA_MEANS[0] + done * (SIGMA_MEANS[1] - SIGMA_MEANS[0])
    sigma = torch.sigmoid(mean + SIGMA_STD * torch.randn(len(latents)))
    noise = torch.randn_like(latents)
    mix = sigma.view(-1, 1, 1, 1)
    noisy = (1 - mix) * latents + mix * noise
    return F.mse_loss(predict(model, noisy, 1 - sigma, captions, lengths), latents - noise)


def optimizers(model: Any) -> dict[str, torch.optim.Optimizer]:
    blocks = (*model.noise_refiner, *model.context_refiner, *model.layers)
    matrices = [p for block in blocks for name, p in block.named_parameters() if p.ndim == 2 and "adaLN" not in name]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return {
        "muon": Muon(matrices, MATRIX_RATE),
        "adamw": torch.optim.AdamW(rest, OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.01),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="training time, all sittings together")
    parser.add_argument(
        "--start",
        type=Path,
        help="folder to begin from without a checkpoint (default: nothing)",
    )
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"), help="folder with vae and text encoder")
    options = parser.parse_args()

    icons, images = data.load_dataset()
    latents = load_latents(icons, images, options.weights / "vae")
    captions = Captions(icons, options.weights)
    model = ZImageTransformer2DModel.from_pretrained(options.start) if options.start else new_model()
    model.float().train()
    check_forward(model)
    use_real_rotation(model)
    average = copy.deepcopy(model).requires_grad_(False)
    steppers = optimizers(model)
    parts = {"model": model, "average": average, **steppers}
    checkpoint = data.WORK / CHECKPOINT
    state = load_checkpoint(checkpoint, parts)
    for block in (*model.noise_refiner, *model.context_refiner, *model.layers):
        block.compile(dynamic=False)
    torch.manual_seed(state["step"])
    batches = Batches(latents, captions, seed=state["step"])

    for factor in Clock(state, options.minutes * 60, DECAY_FROM):
        for name, rate in (("muon", MATRIX_RATE), ("adamw", OTHER_RATE)):
            for group in steppers[name].param_groups:
                group["lr"] = rate * factor
        loss = loss_of(model, state["seconds"] / (options.minutes * 60), *batches.next())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in steppers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            weight = 1 - min(EMA, state["step"] / 100)
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
        state["losses"].append(loss.item())
        if state["due"]:
            save_checkpoint(checkpoint, parts, state)
    save_checkpoint(checkpoint, parts, state)


if __name__ == "__main__":
    main()
