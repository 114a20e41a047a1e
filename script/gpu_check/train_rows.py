"""A training at the real layer sizes with random weights: steps per second, memory, which card it fits."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from easel.inference.options import Options
from easel.training.checkpoint import Progress
from easel.training.dataset import Dataset, Example
from easel.training.layers import TrainedLayers
from easel.training.loop import Trainer, new_optimizer
from easel.training.prepare import prepare
from easel.training.settings import LORA_TARGETS, make_settings
from gpu_check.context import Context, judge, seconds_of
from gpu_check.loaded import PROMPT, new_engine, wait_for_device
from gpu_check.rows import Outcome

STEPS, TINY_STEPS = 100, 2
TINY_SIDES = {512: 64, 1024: 80}  # of the tiny model, which is tried at these
CARDS_GIB = (12, 16, 24, 32, 40, 48, 80, 141)
TAKEN = 2e9  # bytes of a card for its driver and CUDA's context, about; mode_rows.py has them for two cards
IMAGES = 3


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    yield


def steps_512(context: Context, name: str) -> Outcome:
    return train(context, name, 512)


def steps_1024(context: Context, name: str) -> Outcome:
    return train(context, name, 1024)


def train(context: Context, name: str, side: int) -> Outcome:
    """Steps with the model's own settings: one image of side x side pixels, a long caption, a LoRA of rank 16.

    The training adapter is added to the weights, so it costs neither memory nor time in a step; it is left out here.
    """
    cuda = context.device == "cuda"
    trainer = new_trainer(context, TINY_SIDES[side] if context.tiny else side)
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    first = seconds_of(lambda: trainer.take_step(0), wait_for_device(context))
    began = time.perf_counter()
    steps = range(1, TINY_STEPS if context.tiny else STEPS)
    losses = [trainer.take_step(step) for step in steps]  # each waits for the device: it returns a number
    rate = len(losses) / (time.perf_counter() - began)
    peak = torch.cuda.max_memory_reserved() if cuda else None
    card = smallest_card(peak) if peak else None
    measured = f"{rate:.2f} steps/s, the first step {first:.1f} s"
    if peak:
        fits = f"a card of {card} GB" if card else "no card known here"
        measured += f", at most {peak / 1e9:.1f} GB: fits {fits}"
    figures = {"steps_per_s": rate, "first_s": first, "peak_gb": peak / 1e9 if peak else None, "card_gb": card}
    return judge(name, measured, "a loss that is a number", all(map(math.isfinite, losses)), **figures)


def smallest_card(peak: int) -> int | None:
    """Return the GiB of the smallest card that has this many bytes for tensors."""
    return next((size for size in CARDS_GIB if size * 2**30 - TAKEN >= peak), None)


def new_trainer(context: Context, side: int) -> Trainer:
    if "train" not in context.keep:
        context.keep["train"] = new_engine(context, Options(memory="resident"))
    components = context.keep["train"].components
    model = components.model
    inputs = {"input_images": context.folder, "steps": STEPS, "resolution": str(side), "seed": 1}
    settings = replace(make_settings(inputs, model), validation_prompt="")
    encoder: Any = components.modules["text_encoder"]
    encoder.to(components.transformer.device)
    prepared = prepare(random_dataset(side), components, settings)
    encoder.to("cpu")  # a training frees it here
    layers = TrainedLayers(components.transformer, LORA_TARGETS[settings.lora_targets], settings.lora_rank, 1)
    optimizer = new_optimizer(layers, settings.learning_rate, components.transformer.device)
    return Trainer(components, prepared, layers, optimizer, settings, Progress(1))


def random_dataset(side: int) -> Dataset:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    examples = [Example(f"{k}.png", Image.fromarray(one), f"TOK, {PROMPT}", str(k)) for k, one in enumerate(pixels)]
    return Dataset(tuple(examples), (), (), "random")
