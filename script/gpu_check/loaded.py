"""The loaded model in this process, and what the rows of engine_rows and options_rows do with it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from easel.inference.engine import Engine
from easel.inference.loader import load_components
from easel.inference.options import Options
from easel.lora.files import AdapterFiles
from easel.models import load_model
from easel.request import Request
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from gpu_check.context import Context, median_of

PROMPT = (
    "A photograph of a lighthouse on a cliff above the sea at dusk, its lamp lit, waves breaking on dark rocks below, "
    "a narrow path with a wooden rail leading up to the door, gulls in the wind, long exposure, soft violet light"
)
ROUNDS = 3


def engine(context: Context) -> Engine:
    if "engine" not in context.keep:
        context.keep["engine"] = new_engine(context, Options())
    loaded: Engine = context.keep["engine"]
    return loaded


def new_engine(context: Context, options: Options) -> Engine:
    model = load_model(context.folder / "weights" / "z-image-turbo")
    cache = context.folder / "cache"
    reading = start_reading(ensure_snapshot(model, WeightPaths(cache, None), log=lambda line: None))
    components = load_components(model, reading, context.device, options)
    return Engine(components, AdapterFiles(cache / "adapters", allow_files=True))


def wait_for_device(context: Context) -> Callable[[], None]:
    return torch.cuda.synchronize if context.device == "cuda" else lambda: None


def new_request(context: Context, **changes: Any) -> Request:
    width, height = context.size
    steps = 2 if context.tiny else 8
    size = {"width": width, "height": height, "num_inference_steps": steps}
    return Request(**{"prompt": PROMPT, "seed": 1, "output_format": "png", **size, **changes})


def paint(context: Context, **changes: Any) -> list[np.ndarray]:
    return draw(engine(context), new_request(context, **changes))


def draw(loaded: Engine, asked: Request) -> list[np.ndarray]:
    """The pixels of a request's images, (height, width, 3) uint8 each."""
    return [np.asarray(Image.open(path).convert("RGB")) for path in loaded.answer(asked, lambda name, value: None)]


def time_request(context: Context, **changes: Any) -> float:
    """Median seconds from the request to its file."""
    return time_requests(context, engine(context), **changes)


def time_requests(context: Context, loaded: Engine, **changes: Any) -> float:
    """The same of another engine. Each time the prompt is a new one, since the embeddings of known ones are kept."""
    numbers = itertools.count()

    def ask() -> None:
        prompt = f"{PROMPT}, number {next(numbers)}"
        loaded.answer(new_request(context, **{"prompt": prompt, **changes}), lambda name, value: None)

    return median_of(context, ROUNDS, ask, wait_for_device(context))


def new_pipeline(context: Context) -> Any:
    pipeline = engine(context).components.new_pipeline("text")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.inference_mode()
def embeds(context: Context) -> list[torch.Tensor]:
    pipeline = new_pipeline(context)
    encoded: list[torch.Tensor] = pipeline.encode_prompt(
        PROMPT, do_classifier_free_guidance=False, max_sequence_length=512
    )[0]
    return encoded


@contextmanager
def forward_call(context: Context) -> Iterator[Callable[[], torch.Tensor]]:
    """A call that makes one pass of the transformer over the row's size, and its result."""
    width, height = context.size
    transformer: Any = engine(context).components.transformer.module
    generator = torch.Generator("cpu").manual_seed(1)
    latents = torch.randn(16, 1, height // 8, width // 8, generator=generator).to(context.device, transformer.dtype)
    time, prompt = torch.full((1,), 0.5, device=context.device), embeds(context)
    with torch.inference_mode():
        yield lambda: transformer([latents], time, prompt, return_dict=False)[0][0]
