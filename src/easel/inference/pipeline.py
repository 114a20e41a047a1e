"""Runs a Plan on Components: encode the prompt, denoise, decode. The two flows of the house meet here and only here."""

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch
from PIL import Image

from easel.errors import AdapterError
from easel.images.input import InputImage, fit_image, fit_mask, read_image, read_mask
from easel.images.mask import keep_outside, widen
from easel.inference.embeddings import EmbeddingMemory, Embeds
from easel.inference.go_fast import FastTransformer
from easel.inference.loader import Components
from easel.inference.previews import Previews
from easel.lora.adapter import Adapter
from easel.plan import Plan
from easel.progress import Bar, LineWriter


@dataclass
class Timings:
    """Seconds spent in each phase of one request, added up over its images."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - began

    def __str__(self) -> str:
        return ", ".join(f"{phase} {seconds:.3f} s" for phase, seconds in self.seconds.items())


@dataclass(frozen=True)
class SourceImage:
    """What an image or inpainting begins from: RGB at the plan's size, and the mask (L, 0 or 255) or None."""

    image: Image.Image
    mask: Image.Image | None
    warnings: tuple[str, ...] = ()


def read_source(plan: Plan, image: InputImage | None, mask: InputImage | None = None) -> SourceImage | None:
    """Decode the request's image and mask and cut them to the plan's size. Raises InputError."""
    if image is None:
        return None
    warnings: list[str] = []
    pixels = read_image(image, warnings.append)
    fitted = fit_image(pixels, plan.width, plan.height)
    if mask is None:
        return SourceImage(fitted, None, tuple(warnings))
    white, cut = fit_mask(read_mask(mask, pixels.size), plan.width, plan.height)
    if cut:
        warnings.append(
            "part of the mask's white is cut off with the image's edges: aspect_ratio match_input_image keeps all."
        )
    return SourceImage(fitted, white, tuple(warnings))


@torch.inference_mode()
def run_plan(
    plan: Plan,
    components: Components,
    timings: Timings,
    source: SourceImage | None = None,
    adapters: Sequence[tuple[Adapter, float]] = (),
    log: TextIO | None = None,
    embeddings: EmbeddingMemory | None = None,
    previews: Previews | None = None,
) -> Generator[Image.Image, None, None]:
    """Yield the plan's images in order, each (plan.width x plan.height) RGB.

    Images run one after another, each with batch size 1 and a CPU generator of its own seed: image k is then, bit for
    bit, the only image of a request for that seed. A batch would choose other kernels and round differently, and a
    model that is bound by compute gains nothing from one. The bar on `log` (default: standard error) counts the
    denoising steps of all images. The LoRAs in `adapters` hold at their scales until the iterator ends. Closing it, or
    an exception anywhere, ends the work at once; of `components` nothing is changed then. `embeddings` keeps those of
    the prompt for the next request (default: for none). `previews` is shown the latents after each step, and changes
    nothing.
    """
    log = log or sys.stderr
    if source and not plan.passes:
        yield from (source.image for _ in plan.seeds)
        return
    pipeline = components.new_pipeline(plan.kind)
    pipeline.set_progress_bar_config(disable=True)
    components.attention.set(guided=plan.guidance_scale > 0)
    if components.memory.mode == "float8":
        pipeline.vae.use_tiling = plan.width * plan.height > components.model.native_area
    with components.transformer.adapted(adapters):
        with timings.measure("encode_prompt"):
            embeds = encode_prompt(pipeline, plan, components, log, embeddings or EmbeddingMemory())
        bar = Bar(
            total=plan.passes * len(plan.seeds),
            file=LineWriter(log),
            mininterval=0.2,  # seconds; a fast model would fill the logs otherwise
            ncols=80,
            ascii=False,
        )
        with bar:
            for seed in plan.seeds:
                if plan.go_fast:
                    pipeline.transformer = FastTransformer(
                        components.transformer.module, **(components.model.go_fast or {})
                    )
                with timings.measure("denoise"):
                    components.memory.before("denoise")
                    latents = denoise(pipeline, plan, seed, embeds, source, bar, previews)
                if adapters and not latents.isfinite().all():
                    raise AdapterError("The LoRAs at these scales produced NaN or Infinity: lower lora_scales.")
                with timings.measure("decode"):
                    components.memory.before("decode")
                    image = decode_latents(pipeline, latents)
                    if source and source.mask:
                        image = keep_outside(image, source.image, source.mask)
                yield image


def encode_prompt(
    pipeline: Any, plan: Plan, components: Components, log: TextIO, embeddings: EmbeddingMemory
) -> Embeds:
    """Return the pipeline's arguments `prompt_embeds` and `negative_prompt_embeds`: one tensor (tokens, width) each."""
    guided = plan.guidance_scale > 0
    max_tokens = components.model.max_prompt_tokens
    warn_of_truncation(pipeline.tokenizer, "prompt", plan.prompt, max_tokens, log)
    if guided:
        warn_of_truncation(pipeline.tokenizer, "negative_prompt", plan.negative_prompt, max_tokens, log)

    def encode() -> Embeds:
        components.memory.before("encode_prompt")
        positive, negative = pipeline.encode_prompt(
            plan.prompt,
            device=components.transformer.device,
            do_classifier_free_guidance=guided,
            negative_prompt=plan.negative_prompt,
            max_sequence_length=max_tokens,
        )
        return {"prompt_embeds": positive, "negative_prompt_embeds": negative if guided else None}

    return embeddings.get(plan.prompt, plan.negative_prompt if guided else None, encode)


def warn_of_truncation(tokenizer: Any, name: str, text: str, max_tokens: int, log: TextIO) -> None:
    """The tokens counted are those of the whole chat message, as the pipeline makes it of a prompt."""
    message = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, enable_thinking=True
    )
    count = len(tokenizer(message, truncation=False, verbose=False).input_ids)
    if count > max_tokens:
        log.write(f"warning: {name} has {count} tokens; the last {count - max_tokens} are ignored.\n")


def denoise(
    pipeline: Any,
    plan: Plan,
    seed: int,
    embeds: Embeds,
    source: SourceImage | None,
    bar: Bar,
    previews: Previews | None = None,
) -> torch.Tensor:
    """Latents (1, channels, height / 8, width / 8) of one image, in `plan.passes` steps."""

    def step_done(_pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if previews:
            previews.after(step + 1, pipeline.scheduler, tensors["latents"])
        bar.update()
        return tensors

    begin = {"image": source.image, "strength": plan.prompt_strength} if source else {}
    if source and source.mask:
        begin["mask_image"] = widen(source.mask)
    latents: torch.Tensor = pipeline(
        **embeds,
        **begin,
        width=plan.width,
        height=plan.height,
        num_inference_steps=plan.num_inference_steps,
        guidance_scale=plan.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(seed),
        callback_on_step_end=step_done,
        output_type="latent",
    ).images
    return latents


def decode_latents(pipeline: Any, latents: torch.Tensor) -> Image.Image:
    vae = pipeline.vae
    latents = latents.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
    pixels = vae.decode(latents, return_dict=False)[0]
    image: Image.Image = pipeline.image_processor.postprocess(pixels, output_type="pil")[0]
    return image
