"""What the transformer is trained on: latents of the icons on canvases of every size, and texts that stand for them."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from tqdm import tqdm

from recipes.emoji import data, text

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 64
OTHER_SIZE_SHARE = 0.12  # of the batches, on wider and taller canvases
OTHER_SIZE_ICONS = 320  # icons drawn on each of those canvases
# Which text stands for an icon: its name, one or several of its tags, a word of like meaning, or none (for guidance).
CAPTION_SHARES = {"name": 0.25, "tag": 0.07, "phrase": 0.2, "word": 0.45, "empty": 0.03}
TEXT_NOISE = 0.6  # standard deviation, in those of the embeddings with their padding: a quarter of the tokens' own


Latents = dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]]


@torch.no_grad()
def encode_images(vae: Any, images: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> latents (N, 8, H/8, W/8), shifted and scaled as the pipeline expects."""
    out = []
    for start in tqdm(range(0, len(images), 32), desc=f"encoding {images.shape[2]}x{images.shape[1]}"):
        pixels = torch.from_numpy(images[start : start + 32]).permute(0, 3, 1, 2).float() / 127.5 - 1
        out.append(vae.encode(pixels).latent_dist.mode())
    latents: torch.Tensor = (torch.cat(out) - vae.config.shift_factor) * vae.config.scaling_factor
    return latents


def load_latents(icons: list[data.Icon], images: np.ndarray, vae_folder: Path) -> Latents:
    """Per canvas size: icon indices (N,) and latents (N, 8, H/8, W/8); made once, then read from disk."""
    vae = AutoencoderKL.from_pretrained(vae_folder, dtype=torch.float32)
    encoder = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in vae.encoder.state_dict().values()))
    path = data.WORK / f"latents-{data.digest_of(icons)}-{encoder.hexdigest()[:12]}.pt"
    if path.exists():
        saved: Latents = torch.load(path)
        return saved
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

    def __init__(self, icons: list[data.Icon], folder: Path) -> None:
        words = text.nearest_words(icons, folder)
        kinds: dict[str, list[Sequence[str]]] = {
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
        return int(random.choice(self.kinds[kind][icon] or self.kinds["name"][icon]))

    def noisy(self, texts: list[int]) -> torch.Tensor:
        """Embeddings (N, CAPTION_TOKENS, 384) with some noise: what is near a caption should mean the same."""
        embeddings = self.embeddings[texts].float()
        return embeddings + TEXT_NOISE * embeddings.std() * torch.randn_like(embeddings)


class Batches:
    """Endless batches: each icon once per pass, square canvases mostly, one size per batch."""

    def __init__(self, latents: Latents, captions: Captions, seed: int) -> None:
        self.latents, self.captions = latents, captions
        self.random = np.random.default_rng(seed)
        self.queue: dict[tuple[int, int], list[int]] = {size: [] for size in latents}

    def next(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
