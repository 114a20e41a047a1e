"""Train the transformer: flow matching in the VAE's latent space, conditioned on caption embeddings.

    python -m recipes.emoji.transformer --minutes 120 [--start FOLDER]

The run goes by the clock (`--minutes` of training, all sittings together), so that the learning rate reaches zero
whatever the machine. It writes a checkpoint every five minutes and goes on from it when started again; a longer
`--minutes` goes on from the end of a finished run.

Conventions of ZImagePipeline: the network sees `1 - sigma` as time, and its output is `clean - noise`.
"""

import argparse
import copy
import hashlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch.nn import functional as F
from tqdm import tqdm

from recipes.emoji import data, text
from recipes.emoji.clock import Clock, load_checkpoint, save_checkpoint
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
BATCH = 64
OTHER_SIZE_SHARE = 0.12  # of the batches, on wider and taller canvases
OTHER_SIZE_ICONS = 320  # icons drawn on each of those canvases
# Which text stands for an icon: its name, one or several of its tags, a word of like meaning, or none (for guidance).
CAPTION_SHARES = {"name": 0.4, "tag": 0.1, "phrase": 0.15, "word": 0.3, "empty": 0.05}
TEXT_NOISE = 0.2  # standard deviation, in those of the embeddings
# sigma = sigmoid(normal(mean, SIGMA_STD)); the mean falls over the training: what a picture shows is decided at high
# noise, and learning that first took a fraction of the steps; its details come at low noise.
SIGMA_MEANS, SIGMA_STD = (1.1, 0.7), 1.2
EMA = 0.997
MATRIX_RATE, OTHER_RATE = 2e-3, 8e-4  # Muon for the blocks' matrices, AdamW for the rest
DECAY_FROM = 0.45  # of the time; then the rate falls linearly to zero
CHECKPOINT = "transformer.pt"


class RealRotaryProcessor:
    """Z-Image's attention with the rotation written in real numbers, which torch.compile can fuse."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, freqs_cis=None):
        def heads(x):
            return x.unflatten(-1, (attn.heads, -1))

        def rotate(x):
            cos, sin = freqs_cis[0][:, None], freqs_cis[1][:, None]
            even, odd = x[..., 0::2], x[..., 1::2]
            return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)

        query = rotate(attn.norm_q(heads(attn.to_q(hidden_states)))).transpose(1, 2)
        key = rotate(attn.norm_k(heads(attn.to_k(hidden_states)))).transpose(1, 2)
        value = heads(attn.to_v(hidden_states)).transpose(1, 2)
        out = F.scaled_dot_product_attention(query, key, value)
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


def rotation(model, ids: list[tuple[int, int, int]]) -> torch.Tensor:
    """cos and sin of every position: (2, tokens, head_dim / 2)."""
    freqs = model.rope_embedder(torch.tensor(ids))
    return torch.stack((freqs.real, freqs.imag))


def predict(model, latents, time, captions, lengths):
    """The transformer's forward on a whole batch of one size instead of a list of images.

    latents (B, 8, H, W), time (B,) in 0..1, captions (B, CAPTION_TOKENS, 384), lengths (B,) -> (B, 8, H, W).
    Equal to the model's own forward (`check_forward`), at three quarters of its time.
    """
    batch, channels, height, width = latents.shape
    rows, columns = height // 2, width // 2
    image_tokens = rows * columns
    padding = -image_tokens % text.CAPTION_TOKENS
    caption_ids = [(1 + i, 0, 0) for i in range(text.CAPTION_TOKENS)]
    image_ids = [(text.CAPTION_TOKENS + 1, r, c) for r in range(rows) for c in range(columns)] + [(0, 0, 0)] * padding

    adaln = model.t_embedder(time * model.t_scale)
    patches = latents.view(batch, channels, rows, 2, columns, 2).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    x = model.all_x_embedder["2-1"](patches)
    if padding:
        x = torch.cat((x, model.x_pad_token.expand(batch, padding, -1)), dim=1)
    image_rotation, caption_rotation = rotation(model, image_ids), rotation(model, caption_ids)
    for block in model.noise_refiner:
        x = block(x, None, image_rotation, adaln)

    is_padding = (torch.arange(text.CAPTION_TOKENS) >= lengths[:, None]).unsqueeze(-1)
    caption = torch.where(is_padding, model.cap_pad_token, model.cap_embedder(captions))
    for block in model.context_refiner:
        caption = block(caption, None, caption_rotation)

    x = torch.cat((x, caption), dim=1)
    both = torch.cat((image_rotation, caption_rotation), dim=1)
    for block in model.layers:
        x = block(x, None, both, adaln)
    x = model.all_final_layer["2-1"](x[:, :image_tokens], c=adaln)
    return x.view(batch, rows, columns, 2, 2, channels).permute(0, 5, 1, 3, 2, 4).reshape(latents.shape)


def use_real_rotation(model) -> None:
    for block in (*model.noise_refiner, *model.context_refiner, *model.layers):
        block.attention.set_processor(RealRotaryProcessor())


@torch.no_grad()
def check_forward(model) -> None:
    """The batched forward and the model's own agree on random input, square and padded sizes alike."""
    batched = copy.deepcopy(model)
    use_real_rotation(batched)
    for size in ((16, 16), (12, 22), (10, 24)):
        latents, time = torch.randn(3, 8, *size), torch.rand(3)
        captions, lengths = torch.randn(3, text.CAPTION_TOKENS, 384), torch.tensor([2, 7, 32])
        ours = predict(batched, latents, time, captions, lengths)
        captions = [c[:n] for c, n in zip(captions, lengths, strict=True)]
        theirs = torch.stack(model(list(latents.unsqueeze(2)), time, captions, return_dict=False)[0]).squeeze(2)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


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


@torch.no_grad()
def encode_images(vae, images: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> latents (N, 8, H/8, W/8), shifted and scaled as the pipeline expects."""
    out = []
    for start in tqdm(range(0, len(images), 32), desc=f"encoding {images.shape[2]}x{images.shape[1]}"):
        pixels = torch.from_numpy(images[start : start + 32]).permute(0, 3, 1, 2).float() / 127.5 - 1
        out.append(vae.encode(pixels).latent_dist.mode())
    return (torch.cat(out) - vae.config.shift_factor) * vae.config.scaling_factor


def load_latents(icons, images, vae_folder: Path) -> dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]]:
    """Per canvas size: icon indices (N,) and latents (N, 8, H/8, W/8); made once, then read from disk."""
    vae = AutoencoderKL.from_pretrained(vae_folder, dtype=torch.float32)
    encoder = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in vae.encoder.state_dict().values()))
    path = data.WORK / f"latents-{data.digest_of(icons)}-{encoder.hexdigest()[:12]}.pt"
    if path.exists():
        return torch.load(path)
    latents = {data.SQUARE: (torch.arange(len(icons)), encode_images(vae, images))}
    draw = np.random.default_rng(0)
    for size in data.OTHER_SIZES:
        chosen = np.sort(draw.choice(len(icons), min(OTHER_SIZE_ICONS, len(icons)), replace=False))
        pictures = np.stack([data.render(icons[i].svg, size) for i in chosen])
        latents[size] = (torch.from_numpy(chosen), encode_images(vae, pictures))
    torch.save(latents, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    return latents


class Captions:
    """Embeddings of every caption, and the draw of one for an icon."""

    def __init__(self, icons: list[data.Icon], folder: Path):
        words = text.nearest_words(icons, folder)
        kinds = {
            "name": [(*[icon.name] * 3, *icon.captions) for icon in icons],
            "tag": [icon.tags for icon in icons],
            "phrase": [icon.phrases for icon in icons],
            "word": [[template.format(word) for word in ws for template in ("{}", "a {}")] for ws in words],
        }
        texts = list(dict.fromkeys(["", *(t for lists in kinds.values() for ts in lists for t in ts)]))
        index = {t: i for i, t in enumerate(texts)}
        self.kinds = {kind: [[index[t] for t in ts] for ts in lists] for kind, lists in kinds.items()}
        self.embeddings, self.lengths = text.embed(texts, folder)

    def draw(self, icon: int, random: np.random.Generator) -> int:
        kind = random.choice(list(CAPTION_SHARES), p=list(CAPTION_SHARES.values()))
        if kind == "empty":
            return 0
        return random.choice(self.kinds[kind][icon] or self.kinds["name"][icon])

    def noisy(self, texts: list[int]) -> torch.Tensor:
        """Embeddings (N, CAPTION_TOKENS, 384) with some noise: what is near a caption should mean the same."""
        embeddings = self.embeddings[texts].float()
        return embeddings + TEXT_NOISE * embeddings.std() * torch.randn_like(embeddings)


class Batches:
    """Endless batches: each icon once per pass, square canvases mostly, one size per batch."""

    def __init__(self, latents, captions: Captions, seed: int):
        self.latents, self.captions = latents, captions
        self.random = np.random.default_rng(seed)
        self.queue: dict[tuple[int, int], list[int]] = {size: [] for size in latents}

    def next(self):
        """latents (B, 8, H, W), captions (B, CAPTION_TOKENS, 384), lengths (B,)"""
        others = [size for size in self.latents if size != data.SQUARE]
        other = self.random.random() < OTHER_SIZE_SHARE
        size = others[self.random.integers(len(others))] if other else data.SQUARE
        icons, latents = self.latents[size]
        queue = self.queue[size]
        while len(queue) < BATCH:
            queue.extend(self.random.permutation(len(icons)).tolist())
        rows = [queue.pop(0) for _ in range(BATCH)]
        texts = [self.captions.draw(int(icons[row]), self.random) for row in rows]
        return latents[rows], self.captions.noisy(texts), self.captions.lengths[texts]


def loss_of(model, done: float, latents, captions, lengths) -> torch.Tensor:
    """The flow matching loss of one batch, with `done` (0 to 1) of the training over."""
    mean = SIGMA_MEANS[0] + done * (SIGMA_MEANS[1] - SIGMA_MEANS[0])
    sigma = torch.sigmoid(mean + SIGMA_STD * torch.randn(len(latents)))
    noise = torch.randn_like(latents)
    mix = sigma.view(-1, 1, 1, 1)
    noisy = (1 - mix) * latents + mix * noise
    return F.mse_loss(predict(model, noisy, 1 - sigma, captions, lengths), latents - noise)


def optimizers(model) -> dict[str, torch.optim.Optimizer]:
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
