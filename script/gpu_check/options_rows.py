"""Each option of model.yaml and the environment on and off, and what happens when memory runs out."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from easel.errors import ResourceError
from easel.inference.compile import run_uncompiled
from easel.inference.pipeline import decode_latents
from gpu_check.context import Context, judge, judge_time, median_of
from gpu_check.loaded import engine, forward_call, paint, time_request, wait_for_device
from gpu_check.memory_limit import little_memory
from gpu_check.rows import NotRun, Outcome


@contextmanager
def lasting(context: Context) -> Iterator[None]:
    yield


def attention(context: Context, name: str, backend: str) -> Outcome:
    transformer: Any = engine(context).components.transformer.module
    with forward_call(context) as call:
        usual = median_of(context, 5, call, wait_for_device(context))
        exact = call().float()
        try:
            transformer.set_attention_backend(backend)
            other = median_of(context, 5, call, wait_for_device(context))
            difference = float((call().float() - exact).abs().max() / exact.abs().max())
        except Exception as error:
            raise NotRun(f"{backend}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from None
        finally:
            transformer.set_attention_backend("native")  # diffusers also keeps the last one for the whole process
            transformer.reset_attention_backend()
    said = f"{other * 1000:.1f} ms, {other / usual:.2f} of the default; differs by {difference:.1e} of the maximum"
    return judge(name, said, seconds=other, ratio=other / usual, difference=difference)


def attention_cudnn(context: Context, name: str) -> Outcome:
    return attention(context, name, "_native_cudnn")


def attention_flash(context: Context, name: str) -> Outcome:
    return attention(context, name, "_native_flash")


def attention_efficient(context: Context, name: str) -> Outcome:
    return attention(context, name, "_native_efficient")


def attention_flash_2(context: Context, name: str) -> Outcome:
    return attention(context, name, "flash")


def attention_flash_3(context: Context, name: str) -> Outcome:
    return attention(context, name, "_flash_3")


@torch.inference_mode()
def vae(context: Context, name: str, compiled: bool) -> Outcome:
    """channels_last for the whole VAE, with the decoder compiled or not; everything is put back afterwards.

    Random numbers in a tiny VAE round far apart: only the real size is judged.
    """
    components = engine(context).components
    module, pipeline = components.modules["vae"], components.new_pipeline("text")
    width, height = context.size
    shape = (1, module.config.latent_channels, height // 8, width // 8)
    latents = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(1)).to(context.device)
    usual = median_of(context, 5, lambda: decode_latents(pipeline, latents), wait_for_device(context))
    exact = np.asarray(decode_latents(pipeline, latents), dtype=int)
    try:
        module.to(memory_format=torch.channels_last)
        if compiled:  # at tiny size only captured: to compile takes longer than all else there
            module.decoder.compile(fullgraph=True, dynamic=True, backend="eager" if context.tiny else "inductor")
        other = median_of(context, 5, lambda: decode_latents(pipeline, latents), wait_for_device(context))
        difference = int(abs(np.asarray(decode_latents(pipeline, latents), dtype=int) - exact).max())
    finally:
        run_uncompiled(module)
        module.to(memory_format=torch.contiguous_format)
    said = f"{other * 1000:.1f} ms, {other / usual:.2f} of the default; differs by {difference} of 255"
    figures = {"seconds": other, "ratio": other / usual, "difference": difference}
    return judge_time(context, name, said, "at most 1 of 255", difference <= 1, **figures)


def vae_channels_last(context: Context, name: str) -> Outcome:
    return vae(context, name, compiled=False)


def vae_compiled(context: Context, name: str) -> Outcome:
    return vae(context, name, compiled=True)


def go_fast(context: Context, name: str) -> Outcome:
    """As model.yaml has it; and, for the time alone, with a setting of 5 exact passes."""
    with redirect_stderr(io.StringIO()) as log:
        same = np.array_equal(paint(context)[0], paint(context, go_fast=True)[0])
    said = "warning: go_fast has no effect" in log.getvalue()
    usual, loaded = time_request(context), engine(context)
    exact = loaded.components
    loaded.components = replace(exact, model=replace(exact.model, go_fast={"exact_passes": 5}))
    try:
        ratio = time_request(context, go_fast=True, num_inference_steps=8) / time_request(
            context, num_inference_steps=8
        )
    finally:
        loaded.components = exact
    off = "no setting: the same image, and the log says so" if same and said else "no setting, but another image"
    measured = f"{off}; with 5 exact passes {ratio:.2f} of the time of 8 steps"
    return judge(name, measured, "the same image, and a warning", same and said, seconds=usual, ratio=ratio)


def out_of_memory(context: Context, name: str) -> Outcome:
    before = paint(context)[0]
    width, height = 1408, 1472
    message = ""
    with little_memory(context.device):
        try:
            paint(context, width=width, height=height, num_inference_steps=1)
        except ResourceError as error:
            message = str(error)
    after = paint(context)[0]
    same = np.array_equal(before, after)
    said = message.partition(".")[0] or "the request was answered: memory was not short"
    good = message.startswith(f"Out of memory at {width} x {height} pixels") and same
    return judge(name, f"{said}; the next image is {'the same' if same else 'another'}", "in words; the same", good)
