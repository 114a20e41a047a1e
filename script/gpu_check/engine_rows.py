"""Time in one process with the model loaded: a request, its parts, and the bare diffusers pipeline beside it."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from easel.images.encode import save_image
from easel.inference.pipeline import decode_latents
from easel.inference.staging import copy_to_device
from easel.inference.tensors import read_tensors, read_to_device
from easel.plan import plan_request
from gpu_check.context import Context, gigabytes, judge, judge_time, median_of, seconds_of, weight_files
from gpu_check.loaded import (
    PROMPT,
    ROUNDS,
    embeds,
    engine,
    forward_call,
    new_pipeline,
    new_request,
    paint,
    time_request,
    wait_for_device,
)
from gpu_check.rows import NotRun, Outcome

GOAL_S = {"H100": 0.80}  # seconds an image, exact: the goal of the speed work, known for this card only
MATRIX = 8192  # side of the matrices whose product gives the card's bfloat16 rate


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    yield


def load(context: Context, name: str) -> Outcome:
    seconds = seconds_of(lambda: engine(context), wait_for_device(context))
    parts = [one for one in engine(context).components.modules.values() if isinstance(one, torch.nn.Module)]
    size = sum(parameter.nbytes for part in parts for parameter in part.parameters()) / 1e9
    return judge(name, f"{seconds:.2f} s for {size:.2f} GB, {size / seconds:.1f} GB/s", seconds=seconds, gb=size)


def request(context: Context, name: str) -> Outcome:
    seconds = time_request(context)
    card = torch.cuda.get_device_name() if context.device == "cuda" else ""
    goal = next((value for known, value in GOAL_S.items() if known in card), None)
    wanted = f"at most {goal} s" if goal else ""
    return judge(name, f"{seconds:.3f} s", wanted, goal is None or seconds <= goal, seconds=seconds)


def kept_prompt(context: Context, name: str) -> Outcome:
    new, kept = time_request(context), time_request(context, prompt=PROMPT)
    measured = f"{kept:.3f} s with a prompt used before, {(new - kept) * 1000:.0f} ms less than with a new one"
    return judge(name, measured, seconds=kept, new_s=new)


def direct(context: Context, name: str) -> Outcome:
    """instanttensor against safetensors and our copy, on the same files, all in the page cache."""
    if context.device != "cuda" or not find_spec("instanttensor"):
        raise NotRun("it needs CUDA and the package instanttensor")
    files = weight_files(context.folder)["easel"]
    weights = [path for path in files if path.stat().st_size > 10**7]
    size, device = gigabytes(weights), torch.device(context.device)

    def ours() -> None:
        with copy_to_device(device) as place:
            for tensor in read_tensors(weights).values():
                place(tensor, tensor.dtype)

    ours_s = median_of(context, ROUNDS, ours, wait_for_device(context))
    theirs_s = median_of(context, ROUNDS, lambda: read_to_device(weights, device), wait_for_device(context))
    measured = f"{size / theirs_s:.1f} GB/s, {ours_s / theirs_s:.2f} times ours ({size / ours_s:.1f} GB/s)"
    return judge(name, measured, seconds=theirs_s, ours_s=ours_s, ratio=ours_s / theirs_s)


def plain(context: Context, name: str) -> Outcome:
    """Interleaved, so that both sides meet the same clock of the card."""
    pipeline = new_pipeline(context)
    asked = new_request(context)

    def bare() -> None:
        pipeline(
            asked.prompt,
            width=asked.width,
            height=asked.height,
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=0,
            generator=torch.Generator("cpu").manual_seed(1),
        )

    rounds = range(1 if context.tiny else ROUNDS)
    turns = [(time_request(context), median_of(context, 1, bare, wait_for_device(context))) for _ in rounds]
    ours, theirs = (float(np.median(side)) for side in zip(*turns, strict=True))
    share = 1 - theirs / ours
    measured = f"{theirs:.3f} s; ours is {share:.1%} of the request (checker, file and metadata included)"
    return judge_time(context, name, measured, "at most 10 %", share <= 0.1, seconds=theirs, request_s=ours)


def text_encoder(context: Context, name: str) -> Outcome:
    seconds = median_of(context, ROUNDS, lambda: embeds(context), wait_for_device(context))
    tokens = embeds(context)[0].shape[0]
    return judge(name, f"{seconds * 1000:.1f} ms for {tokens} tokens", seconds=seconds, tokens=tokens)


def forward(context: Context, name: str) -> Outcome:
    with forward_call(context) as call:
        seconds = median_of(context, 5, call, wait_for_device(context))
        with FlopCounterMode(display=False) as counter:
            call()
    tflop, rate = counter.get_total_flops() / 1e12, bfloat16_rate(context)
    share = tflop / rate / seconds
    measured = f"{seconds * 1000:.1f} ms for {tflop:.1f} TFLOP: {share:.0%} of {rate:.0f} TFLOP/s measured here"
    figures = {"seconds": seconds, "tflop": tflop, "rate_tflops": rate, "share": share}
    return judge_time(context, name, measured, "at least 70 %", share >= 0.7, **figures)


def bfloat16_rate(context: Context) -> float:
    """TFLOP/s of a large product of matrices: what the card does at best."""
    side = MATRIX if context.device == "cuda" else 512
    a, b = (torch.randn(side, side, device=context.device).bfloat16() for _ in range(2))
    return 2 * side**3 / 1e12 / median_of(context, 10, lambda: a @ b, wait_for_device(context))


@torch.inference_mode()
def latents_of(context: Context) -> torch.Tensor:
    asked = new_request(context)
    latents: torch.Tensor = new_pipeline(context)(
        prompt_embeds=embeds(context),
        width=asked.width,
        height=asked.height,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=0,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="latent",
    ).images
    return latents


def step(context: Context, name: str) -> Outcome:
    steps = new_request(context).num_inference_steps or 1
    seconds = median_of(context, ROUNDS, lambda: latents_of(context), wait_for_device(context)) / steps
    return judge(name, f"{seconds * 1000:.1f} ms", seconds=seconds)


@torch.inference_mode()
def vae_decode(context: Context, name: str) -> Outcome:
    pipeline, latents = new_pipeline(context), latents_of(context)
    seconds = median_of(context, ROUNDS, lambda: decode_latents(pipeline, latents), wait_for_device(context))
    return judge(name, f"{seconds * 1000:.1f} ms", seconds=seconds)


def encode_file(context: Context, name: str) -> Outcome:
    components = engine(context).components
    metadata = plan_request(new_request(context), components.model).metadata(0, components.digest)
    image = Image.fromarray(paint(context)[0])
    figures: dict[str, Any] = {}
    for suffix in ("webp", "jpg", "png"):
        path = context.folder / f"encoded.{suffix}"
        seconds = median_of(context, ROUNDS, functools.partial(save_image, image, path, 80, metadata))
        figures[f"{suffix}_s"] = seconds
    return judge(name, ", ".join(f"{key[:-2]} {value * 1000:.0f} ms" for key, value in figures.items()), **figures)


def two_megapixels(context: Context, name: str) -> Outcome:
    width, height = (128, 144) if context.tiny else (1408, 1472)
    seconds = time_request(context, width=width, height=height)
    return judge(name, f"{seconds:.3f} s", seconds=seconds)


def four_images(context: Context, name: str) -> Outcome:
    one, four = time_request(context), time_request(context, num_outputs=4)
    measured, good = f"{four:.3f} s, {four / one:.2f} times one", four <= 4.2 * one
    return judge_time(context, name, measured, "at most 4.2 times one", good, seconds=four, one_s=one)
