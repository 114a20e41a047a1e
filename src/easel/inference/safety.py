"""Which images may leave: an image classifier looks at each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from easel.errors import WeightsError
from easel.models import Model


@dataclass(frozen=True)
class SafetyChecker:
    """An image is blocked when `blocked_label` is the most probable of the classifier's labels."""

    processor: Any
    classifier: Any
    blocked_label: str

    @torch.inference_mode()
    def blocks(self, image: Image.Image) -> bool:
        """Return whether this RGB image of any size must stay."""
        pixels = self.processor(image, return_tensors="pt").to(self.classifier.device, self.classifier.dtype)
        label = self.classifier.config.id2label[int(self.classifier(**pixels).logits.argmax(-1))]
        return bool(label == self.blocked_label)


def load_safety_checker(model: Model, folder: Path, device: torch.device) -> SafetyChecker | None:
    """Return the checker that `model.yaml` names, from its files in `folder`; None when it names none.

    Raises WeightsError when the classifier has no such label.
    """
    if model.safety_checker is None:
        return None
    # Here, because it is slow to import, and not every model has a checker.
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder, label = folder / model.safety_checker["folder"], model.safety_checker["blocked_label"]
    dtype = getattr(torch, model.dtype.get("safety_checker", model.dtype["default"]))
    classifier = AutoModelForImageClassification.from_pretrained(folder, dtype=dtype, local_files_only=True)
    classifier.to(device).eval()
    labels = list(classifier.config.id2label.values())
    if label not in labels:
        raise WeightsError(f"{folder}: the classifier has the labels {', '.join(labels)}, but not {label!r}.")
    return SafetyChecker(AutoImageProcessor.from_pretrained(folder, local_files_only=True), classifier, label)
