"""An image as a prediction draws it, with a LoRA that is being trained; and without the text encoder."""

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch
from PIL import Image

from easel.inference.embeddings import EmbeddingMemory
from easel.inference.loader import Components
from easel.inference.pipeline import Timings, encode_prompt, run_plan
from easel.lora.adapter import Adapter
from easel.plan import plan_request
from easel.request import Request


def draw(
    components: Components,
    prompt: str,
    seed: int,
    adapters: Sequence[tuple[Adapter, float]],
    *,
    steps: int | None = None,
    memory: EmbeddingMemory | None = None,
) -> Image.Image:
    """Return the square image of a prompt and a seed, with the model's defaults and these LoRAs at their scales.

    `steps` are those of the denoising, `memory` keeps the prompt's embeddings for its next image, or has them already.
    """
    plan = plan_request(Request(prompt, seed=seed, num_inference_steps=steps), components.model)
    (image,) = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO(), embeddings=memory)
    return image


@torch.inference_mode()
def release_text_encoder(components: Components, prompts: Iterable[str]) -> tuple[Components, EmbeddingMemory]:
    """Return the components without the text encoder, and the embeddings of these prompts, for `draw` to do without it.

    Its memory is free when nothing else holds the components that were given: 8 of the flagship's 20.9 GB.
    """
    memory, pipeline = EmbeddingMemory(sys.maxsize, sys.maxsize), components.new_pipeline("text")
    for prompt in prompts:
        encode_prompt(pipeline, plan_request(Request(prompt), components.model), components, io.StringIO(), memory)
    return replace(components, modules=MappingProxyType({**components.modules, "text_encoder": None})), memory
