"""A tiny image classifier whose answers are known: a real ViT, with weights set by hand."""

import shutil
from pathlib import Path

import torch
import yaml
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from easel.weights.manifest import lock_folder


def write_red_detector(folder: Path) -> None:
    """Says "nsfw" of an image in which more patches are red than blue, and "normal" of any other.

    The first number of each patch is its mean of red minus blue, the second the opposite; layer normalisation leaves
    only the sign, uniform attention takes the mean over the patches, and the classifier reads it.
    """
    config = ViTConfig(
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        image_size=32,
        patch_size=8,
        layer_norm_eps=1e-3,
        id2label={0: "normal", 1: "nsfw"},
        label2id={"normal": 0, "nsfw": 1},
    )
    model = ViTForImageClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1)
            if name.endswith(("v_proj", "o_proj")):
                module.weight.copy_(torch.eye(4))
        red_minus_blue = torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1)
        projection = model.vit.embeddings.patch_embeddings.projection.weight
        projection[0], projection[1] = red_minus_blue, -red_minus_blue
        model.classifier.weight[1] = torch.tensor([1.0, -1.0, 0, 0])
        model.classifier.bias[0] = 0.05  # white, grey and undecided is normal
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def checked_model(root: Path, emoji: Path) -> Path:
    """The emoji model with this checker, as the model folder `root/checked`, every file listed in its lock."""
    folder = root / "checked"
    shutil.copytree(emoji, folder)
    settings = yaml.safe_load((emoji / "model.yaml").read_text())
    settings |= {"name": "checked", "safety_checker": {"folder": "safety_checker", "blocked_label": "nsfw"}}
    (folder / "model.yaml").write_text(yaml.safe_dump(settings))
    write_red_detector(folder / "safety_checker")
    lock_folder(folder)
    return folder
