"""A data set as the transformer takes it: latents and prompt embeddings, made once, and batches of one size each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from easel.images.input import fit_image
from easel.inference.loader import Components
from easel.training.buckets import bucket_for
from easel.training.dataset import Dataset
from easel.training.settings import TrainingSettings


@dataclass(frozen=True)
class Sample:
    """One image at one size: latents (channels, height / 8, width / 8), embeds (tokens, width) of its caption."""

    name: str
    size: tuple[int, int]
    latents: torch.Tensor
    embeds: torch.Tensor


@dataclass(frozen=True)
class Prepared:
    """All samples, the embeddings of no caption (tokens, width), and of the prompts that must draw as before."""

    samples: tuple[Sample, ...]
    no_caption: torch.Tensor
    preserved: tuple[torch.Tensor, ...] = ()


@torch.no_grad()
def prepare(dataset: Dataset, components: Components, settings: TrainingSettings) -> Prepared:
    """Return the samples of every image at every resolution, on the components' device."""
    pipeline = components.new_pipeline("text")
    components.memory.before("encode_prompt")
    preserved = (components.model.training or {}).get("preserve", ())
    texts = dict.fromkeys(["", *(example.caption for example in dataset.examples), *preserved])
    embeds = {text: encode_text(pipeline, text, components) for text in texts}
    components.memory.before("decode")
    samples = []
    for example in dataset.examples:
        for resolution in settings.resolutions:
            size = bucket_for(*example.size, resolution, components.model.multiple)
            latents = encode_image(pipeline.vae, np.asarray(fit_image(example.image, *size)))
            samples.append(Sample(example.name, size, latents, embeds[example.caption]))
    components.memory.before("denoise")
    return Prepared(tuple(samples), embeds[""], tuple(embeds[text] for text in preserved))


def encode_text(pipeline: Any, text: str, components: Components) -> torch.Tensor:
    embeds, _ = pipeline.encode_prompt(
        text,
        device=components.transformer.device,
        do_classifier_free_guidance=False,
        max_sequence_length=components.model.max_prompt_tokens,
    )
    one: torch.Tensor = embeds[0]
    return one


def encode_image(vae: Any, pixels: np.ndarray) -> torch.Tensor:
    """Return the latents (channels, height / 8, width / 8), float32, of pixels (height, width, 3) uint8.

    They are the most likely ones, so that they can be kept, shifted and scaled the other way round from the pipeline
    (diffusers 0.42.1, pipeline_z_image.py, line 593: `latents / scaling_factor + shift_factor`).
    """
    values = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(vae.device, vae.dtype) / 127.5 - 1
    latents = vae.encode(values).latent_dist.mode().float()
    scaled: torch.Tensor = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    return scaled[0]


class Batches:
    """Which samples each step takes: every sample once in each pass, in an order that seed and pass alone decide.

    The samples of a batch have one size; the last of a size in a pass may be fewer.
    """

    def __init__(self, samples: Sequence[Sample], batch_size: int, seed: int) -> None:
        self._sizes: dict[tuple[int, int], list[int]] = {}
        for k, sample in enumerate(samples):
            self._sizes.setdefault(sample.size, []).append(k)
        self._batch_size, self._seed = batch_size, seed
        self.steps_in_pass = sum(-(-len(members) // batch_size) for members in self._sizes.values())
        self._pass: tuple[int, list[list[int]]] = (-1, [])

    def of_step(self, step: int) -> list[int]:
        """Return the numbers of the samples for a step, counted from 0."""
        number, place = divmod(step, self.steps_in_pass)
        if self._pass[0] != number:
            self._pass = number, self._draw(number)
        return self._pass[1][place]

    def _draw(self, number: int) -> list[list[int]]:
        random = np.random.default_rng([self._seed, number])
        batches = []
        for size in sorted(self._sizes):
            members = random.permutation(self._sizes[size]).tolist()
            batches += [members[k : k + self._batch_size] for k in range(0, len(members), self._batch_size)]
        return [batches[k] for k in random.permutation(len(batches))]
