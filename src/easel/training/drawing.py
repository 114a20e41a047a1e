"""An image as a prediction draws it, with a LoRA that is being trained."""

import io
from collections.abc import Sequence

from PIL import Image

from easel.inference.embeddings import EmbeddingMemory
from easel.inference.loader import Components
from easel.inference.pipeline import Timings, run_plan
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

    `steps` are those of the denoising, `memory` keeps the prompt's embeddings for its next image.
    """
    plan = plan_request(Request(prompt, seed=seed, num_inference_steps=steps), components.model)
    (image,) = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO(), embeddings=memory)
    return image
