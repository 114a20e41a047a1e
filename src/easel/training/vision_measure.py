"""The measure that a model.yaml names, where the vision model that it needs is at hand: nothing is fetched for it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Dinov2Model

from easel.training.measure import Measure, cosine_distance, pooled_measure

SIDE = 224  # pixels: DINOv2's evaluation crops (facebookresearch/dinov2, dinov2/data/transforms.py), with ImageNet's
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of colours, from the same file


def measure_of(repo_id: str | None) -> Measure:
    """Return the measure that needs this repository of a DINOv2 model, or the pooled one, with the reason.

    None: the pooled one is this model's own. The repository is read from the user's cache of huggingface_hub alone.
    """
    if repo_id is None:
        return pooled_measure()
    try:
        model = Dinov2Model.from_pretrained(repo_id, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError, RuntimeError):  # not there, or not such a model
        return pooled_measure(
            f"Used here because {repo_id} is not in the Hugging Face cache: `hf download {repo_id}` before a training "
            "gives a measure that sees what an image shows."
        )
    what = (
        f"1 - cosine similarity of the two images' embeddings by {repo_id} (the class token of DINOv2, "
        "https://arxiv.org/abs/2304.07193), on a scale of 0 to 2: the measure DINO of DreamBooth "
        "(https://arxiv.org/abs/2208.12242, section 4.2) with the newer model."
    )
    return Measure("dinov2_cosine", what, 3, embedder(model), cosine_distance)


def embedder(model: Any) -> Callable[[Sequence[Image.Image]], np.ndarray]:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    @torch.inference_mode()
    def embed(images: Sequence[Image.Image]) -> np.ndarray:
        rows = []
        for image in images:  # one by one: so an image's row does not depend on the others
            small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            pixels = (torch.from_numpy(small.copy()).permute(2, 0, 1) / 255 - mean) / std
            rows.append(model(pixel_values=pixels[None]).pooler_output[0].numpy())
        return np.stack(rows)

    return embed
