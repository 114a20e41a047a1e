"""The steps of a training: batches in, a changed LoRA out."""

import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TextIO

import torch
from torch.nn import functional as F

from easel.inference.loader import Components
from easel.progress import Bar, LineWriter
from easel.training.checkpoint import Progress
from easel.training.flow import add_noise, draw_sigmas, generator_of, predict, shift_of, target_of
from easel.training.layers import TrainedLayers
from easel.training.prepare import Batches, Prepared
from easel.training.settings import TrainingSettings

WEIGHT_DECAY = 1e-4  # as ostris/ai-toolkit has it for this family
MAX_GRADIENT_NORM = 1.0
WARM_UP_STEPS = 20
DECAY_FROM = 0.5  # of the steps; then the rate falls to zero in a line
# Image tokens of one pass: what a batch has beyond that is done in several, whose gradients are added up. One image of
# 1024 x 1024 has 4096, which keep a GPU busy; of the emoji model's, 64 fit.
PASS_TOKENS = 4096
RECENT = 50  # steps, of whose loss the bar shows the mean


@dataclass(frozen=True)
class Metrics:
    """Of this process alone: of a training that was resumed, the part since then.

    `peak_memory_gb`: 10^9 bytes of the device's memory, on a CPU of the process.
    """

    steps: int
    steps_per_second: float
    peak_memory_gb: float


def new_optimizer(layers: TrainedLayers, rate: float, device: torch.device) -> torch.optim.Optimizer:
    """Return AdamW over the LoRA's parameters; on CUDA with 8-bit states where bitsandbytes is installed."""
    parameters = list(layers.parameters.values())
    if device.type == "cuda" and find_spec("bitsandbytes"):
        adamw = import_module("bitsandbytes").optim.AdamW8bit
        eight_bit: torch.optim.Optimizer = adamw(parameters, lr=rate, weight_decay=WEIGHT_DECAY)
        return eight_bit
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=WEIGHT_DECAY)


def rate_factor(step: int, steps: int) -> float:
    """Return what the learning rate is multiplied by in a step, counted from 0."""
    decay = (steps - step) / (steps * (1 - DECAY_FROM))
    return min(1.0, (step + 1) / WARM_UP_STEPS, decay)


class Trainer:
    """Takes the steps of one training, whose LoRA is `layers`, on components that nobody else uses."""

    def __init__(
        self,
        components: Components,
        prepared: Prepared,
        layers: TrainedLayers,
        optimizer: torch.optim.Optimizer,
        settings: TrainingSettings,
        progress: Progress,
    ) -> None:
        self.components, self.layers, self.optimizer = components, layers, optimizer
        self.settings, self.progress = settings, progress
        self._prepared = prepared
        self._batches = Batches(prepared.samples, settings.batch_size, progress.seed)
        self._shift = shift_of(components.scheduler_config)
        self._device = components.transformer.device
        self._transformer = components.transformer.module
        if self._device.type == "cuda":
            save_memory(self._transformer)

    def run(self, after_step: Callable[[int], None], stream: TextIO | None = None) -> Metrics:
        """Take all steps that are left; after each call `after_step` with the number of steps done.

        The bar on `stream` (default: standard error) is written in lines that Replicate's clients read.
        """
        done, began, idle = self.progress.step, time.perf_counter(), 0.0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        bar = Bar(
            total=self.settings.steps,
            initial=done,
            file=LineWriter(stream or sys.stderr),
            mininterval=1.0,  # seconds
            miniters=1,
            ncols=100,
            ascii=False,
        )
        with bar:
            for step in range(done, self.settings.steps):
                loss = self.take_step(step)
                self.progress.losses.append(loss)
                recent = self.progress.losses[-RECENT:]
                bar.set_postfix(loss=f"{sum(recent) / len(recent):.4f}", refresh=False)
                bar.update()
                paused = time.perf_counter()
                after_step(step + 1)
                idle += time.perf_counter() - paused
        steps, seconds = self.settings.steps - done, time.perf_counter() - began - idle
        return Metrics(steps, steps / seconds if steps else 0.0, peak_memory(self._device) / 1e9)

    def take_step(self, step: int) -> float:
        """Return the loss of one step, counted from 0, and change the LoRA by it.

        Where the model has prompts to preserve, one for each image is learnt too: at the same noisy latents, to give
        what the model gives without the LoRA. Their loss is not in the number.
        """
        generator = generator_of(self.progress.seed, step)
        samples = [self._prepared.samples[k] for k in self._batches.of_step(step)]
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate_factor(step, self.settings.steps)
        self.optimizer.zero_grad(set_to_none=True)
        clean = torch.stack([sample.latents for sample in samples])
        sigmas = draw_sigmas(len(samples), self._shift, generator).to(self._device)
        noise = torch.randn(clean.shape, generator=generator).to(self._device)
        dropped = torch.rand(len(samples), generator=generator) < self.settings.caption_dropout_rate
        embeds = [
            self._prepared.no_caption if drop else sample.embeds
            for sample, drop in zip(samples, dropped.tolist(), strict=True)
        ]
        noisy, target = add_noise(clean, noise, sigmas), target_of(clean, noise)
        total = self._learn(noisy, sigmas, embeds, target)
        if others := self._prepared.preserved:
            chosen = torch.randint(len(others), (len(samples),), generator=generator).tolist()
            kept = [others[k] for k in chosen]
            with torch.no_grad(), autocast(self._device):
                before = [predict(self._transformer, noisy[part], sigmas[part], kept[part]) for part in passes(noisy)]
            self._learn(noisy, sigmas, kept, torch.cat(before))
        torch.nn.utils.clip_grad_norm_(self.layers.parameters.values(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        return total

    def _learn(
        self, noisy: torch.Tensor, sigmas: torch.Tensor, embeds: list[torch.Tensor], target: torch.Tensor
    ) -> float:
        """Add the gradients of a batch's mean squared error, which is returned."""
        total = torch.zeros((), device=self._device)
        with self.layers.applied():
            for part in passes(noisy):
                with autocast(self._device):
                    output = predict(self._transformer, noisy[part], sigmas[part], embeds[part])
                loss = F.mse_loss(output, target[part]) * (len(output) / len(noisy))
                loss.backward()
                total += loss.detach()
        return float(total)


def passes(latents: torch.Tensor) -> list[slice]:
    """Return which of a batch's latents (B, channels, height, width) go through the transformer at once."""
    tokens = latents.shape[2] * latents.shape[3] // 4  # of 2 x 2 latents each
    count = max(1, PASS_TOKENS // tokens)
    return [slice(k, k + count) for k in range(0, len(latents), count)]


def save_memory(transformer: Any) -> None:
    """Have the activations computed again in the backward pass: gradient checkpointing."""
    transformer.enable_gradient_checkpointing()


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 for the products on CUDA, where the weights are so too; a CPU computes in their own number type."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were in use: of the device since the first step, of this process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # man getrusage
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
