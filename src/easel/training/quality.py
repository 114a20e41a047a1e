"""What a training did, in images and figures: how near "TOK" came to the set, and how much else changed.

Everything is drawn when the training is over, without the LoRA and with it, from the same seeds. Nothing of what an
image is drawn from was trained on: the seeds' noise never, and of the prompts only the trigger word. The set itself is
trained on as a whole, since a LoRA of few images needs each.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from easel.images.input import fit_image
from easel.inference.embeddings import EmbeddingMemory
from easel.inference.loader import Components
from easel.lora.adapter import Adapter
from easel.models import Model
from easel.training.captions import Captions
from easel.training.dataset import Dataset
from easel.training.drawing import draw
from easel.training.measure import Measure

TRIGGER_SEEDS = 4
UNSEEN = 4  # of the unrelated prompts, drawn once more with the trigger word
UNRELATED = 20
# Of the model's denoising steps, for the images whose change alone is looked at: the emoji model's look the same.
FEWER = 0.5
# Plain things, none of which emoji's model.yaml preserves; more than are drawn, for those that a set's captions name.
THINGS = (
    "a banana", "an owl", "a bus", "a teddy bear", "a carrot", "a tiger", "a whale", "a duck", "a turtle", "a fish",
    "a mushroom", "a tree", "a clock", "a camera", "a hammer", "a chair", "a tent", "a cloud", "a bell", "a balloon",
    "a horse", "a lemon", "a drum", "a snail", "a ladder", "a truck", "a volcano", "a bee", "a bed", "a kite",
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A prompt's image without the LoRA and with it, both of one seed. `plain` is the prompt of the first."""

    prompt: str
    plain: str
    seed: int
    before: Image.Image
    after: Image.Image


@dataclass(frozen=True)
class Quality:
    """`figures` are distances by `measure`, rounded to its digits, and counts of prompts."""

    measure: Measure
    trigger: tuple[Drawn, ...]
    unseen: tuple[Drawn, ...]
    unrelated: tuple[Drawn, ...]
    figures: Mapping[str, float]

    @property
    def line(self) -> str:
        """Return the figures that count, for a log."""
        found = self.figures
        return (
            f"distance to the set {found['to_set_before']} before, {found['to_set']} after; "
            f"drift on {found['prompts']} other prompts {found['drift']}, {found['prompts_kept']} of them "
            f"kept ({self.measure.name})"
        )

    @property
    def metadata(self) -> dict[str, str]:
        """Return what the file says of it."""
        names = ("to_set_before", "to_set", "drift")
        return {"quality_measure": self.measure.name, **{f"quality_{name}": str(self.figures[name]) for name in names}}


def measure_quality(
    components: Components,
    dataset: Dataset,
    captions: Captions,
    adapter: Adapter,
    measure: Measure,
    memory: EmbeddingMemory,
) -> Quality:
    """Draw and compare. No training adapter is in the weights.

    `memory` keeps embeddings, or has those of `drawn_prompts` already.
    """
    lora = [(adapter, 1.0)]
    fewer = math.ceil(components.model.num_inference_steps * FEWER)

    def pair(prompt: str, seed: int, steps: int | None) -> Drawn:
        images = (draw(components, prompt, seed, one, steps=steps, memory=memory) for one in ([], lora))
        return Drawn(prompt, prompt, seed, *images)

    things = things_for(dataset, components.model)
    others = [pair(thing, seed, fewer) for seed, thing in enumerate(things)]
    trigger = [pair(captions.of(None), seed, None) for seed in range(TRIGGER_SEEDS)]
    unseen = []
    for one in others[:UNSEEN]:
        prompt = captions.of(one.plain)
        after = draw(components, prompt, one.seed, lora, steps=fewer, memory=memory)
        unseen.append(Drawn(prompt, one.plain, one.seed, one.before, after))
    size = trigger[0].after.size
    rows = np.concatenate([measure.embed([fit_image(example.image, *size)]) for example in dataset.examples])
    return Quality(
        measure, tuple(trigger), tuple(unseen), tuple(others), figures(measure, rows, trigger, unseen, others)
    )


def drawn_prompts(dataset: Dataset, captions: Captions, model: Model) -> list[str]:
    """Return all prompts that `measure_quality` draws."""
    things = things_for(dataset, model)
    return [captions.of(None), *things, *map(captions.of, things[:UNSEEN])]


def things_for(dataset: Dataset, model: Model) -> list[str]:
    preserved = (model.training or {}).get("preserve", ())
    return unrelated([*(example.caption for example in dataset.examples), *preserved])


def unrelated(texts: Iterable[str]) -> list[str]:
    """Return 20 prompts: first those of which no word is in the texts, short words aside."""
    known = words(" ".join(texts))
    return sorted(THINGS, key=lambda thing: bool(words(thing) & known))[:UNRELATED]


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 2}


def figures(
    measure: Measure, in_set: np.ndarray, trigger: Sequence[Drawn], unseen: Sequence[Drawn], others: Sequence[Drawn]
) -> dict[str, float]:
    """Return the figures, by name. `in_set`: the rows of the set's images.

    A prompt is kept if its image with the LoRA is nearer to its own without it than to the set and to
    any other prompt's.
    """

    def to_set(images: Sequence[Image.Image]) -> float:
        return float(measure.distance(measure.embed(images), in_set).min(axis=1).mean())

    before, after = (measure.embed(images) for images in zip(*((one.before, one.after) for one in others), strict=True))
    changes = measure.distance(after, before)
    own = np.diagonal(changes)
    elsewhere = np.concatenate((without_own(changes), measure.distance(after, in_set)), axis=1).min(axis=1)
    found = {
        "to_set_before": to_set([one.before for one in trigger]),
        "to_set": to_set([one.after for one in trigger]),
        "unseen_to_set_before": to_set([one.before for one in unseen]),
        "unseen_to_set": to_set([one.after for one in unseen]),
        "within_set": apart(measure.distance(in_set, in_set)),
        "drift": float(own.mean()),
        "between_prompts": apart(measure.distance(before, before)),
    }
    counts = {"prompts": len(others), "prompts_kept": int((own < elsewhere).sum())}
    return {name: round(value, measure.digits) for name, value in found.items()} | counts


def apart(distances: np.ndarray) -> float:
    """Return how far each is from the nearest other, on average, of the distances (N, N) of N > 1 to one another."""
    return float(without_own(distances).min(axis=1).mean())


def without_own(distances: np.ndarray) -> np.ndarray:
    found: np.ndarray = distances + np.diag(np.full(len(distances), np.inf))
    return found
