"""The Cog trainer: typed inputs as a table, then one call. Nothing else.

Cog reads this file without running it, so every value inside `Input(...)` is a literal, as in predict.py.
`src/easel/training/settings.py` checks everything again and is the truth; `tests/contract` holds the two equal.
"""

import os
from functools import cache
from pathlib import Path as LocalPath

from cog import BaseModel, Input, Path, current_scope, types

from easel.training.service import TrainingService


class TrainingOutput(BaseModel):  # type: ignore[misc] # cog publishes no types
    weights: Path


@cache
def setup() -> TrainingService:
    """Guard what Cog fetches for a training, once, before the first one."""
    return TrainingService(LocalPath(__file__).parent / "weights", os.environ, types)


# fmt: off
def train(
    # your images
    input_images: Path = Input(accept="application/zip,application/x-tar,application/gzip,application/x-bzip2,application/x-xz",
        description="A zip or tar of 3 to 1,000 images, each with a caption in a .txt file of the same name or without; at most 2 GB."),
    trigger_word: str = Input(default="TOK", min_length=1, max_length=50,
        description="What stands in prompts for that which your images show: a word that the model does not know."),
    caption_prefix: str = Input(default="", max_length=500,
        description="Text before each caption."),
    caption_suffix: str = Input(default="", max_length=500,
        description="Text after each caption."),
    # how it trains
    steps: int | None = Input(default=None, ge=100, le=6000,
        description="Training steps. Empty: the model's own number."),
    learning_rate: float | None = Input(default=None, ge=0, le=0.1,
        description="Learning rate, above 0. Empty: the model's own value."),
    batch_size: int | None = Input(default=None, ge=1, le=64,
        description="Images in each step. Empty: the model's own number."),
    resolution: str | None = Input(default=None,
        description="Side of a square image in pixels, several with commas: 512,768. Each image is trained at each. Empty: the model's own."),
    # what is trained
    lora_rank: int = Input(default=16, ge=1, le=128,
        description="Rank of the LoRA. Its alpha is the same."),
    lora_targets: str = Input(default="attention", choices=["attention", "attention_and_feed_forward"],
        description="Layers that get a LoRA: attention, or attention and feed-forward."),
    caption_dropout_rate: float = Input(default=0.05, ge=0, le=1,
        description="Share of the images that are trained without their caption, for guidance."),
    # the rest
    seed: int | None = Input(default=None, ge=0, le=4294967295,
        description="Same seed and inputs, same LoRA on one device. Empty: random; logs and file tell the seed that was used."),
    validation_prompt: str | None = Input(default=None, max_length=5000,
        description="Prompt of an image at every tenth of the training. Left out: the trigger word. An empty text: no images."),
) -> TrainingOutput:
    """Train a LoRA on `input_images`."""
    inputs = dict(locals())
    return TrainingOutput(weights=Path(setup().answer(inputs, current_scope().record_metric)))
# fmt: on


train.setup = setup  # type: ignore[attr-defined] # Cog calls it first, as it does a runner's
