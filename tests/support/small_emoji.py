"""The emoji model with few, small layers and random numbers: its classes, files and settings, in milliseconds."""

import json
import shutil
from pathlib import Path

from diffusers import AutoencoderKL, ZImageTransformer2DModel
from transformers import BertConfig, BertModel

from tests.support.model_folders import digest
from tests.support.tiny_z_image import randomize

REPOSITORY = Path(__file__).resolve().parents[2]
EMOJI = REPOSITORY / "weights" / "emoji"
TRANSFORMER = {"dim": 64, "n_heads": 2, "n_kv_heads": 2, "n_layers": 3, "axes_dims": [8, 12, 12]}
VAE = {"block_out_channels": [8, 16, 16, 16], "norm_num_groups": 4}
TEXT_ENCODER = {"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 64, "num_attention_heads": 2}


def small_emoji(folder: Path) -> Path:
    """Write the model into `folder`, whose name must be emoji; the numbers are the same each time."""
    shutil.copytree(EMOJI, folder, ignore=shutil.ignore_patterns("*.safetensors", "weights.lock", "README.md"))
    transformer = ZImageTransformer2DModel.from_config(
        config(folder / "transformer") | TRANSFORMER | {"cap_feat_dim": TEXT_ENCODER["hidden_size"]}
    )
    vae = AutoencoderKL.from_config(config(folder / "vae") | VAE)
    text_encoder = BertModel(BertConfig(**config(folder / "text_encoder") | TEXT_ENCODER))
    for seed, (name, module) in enumerate(
        {"transformer": transformer, "vae": vae, "text_encoder": text_encoder}.items()
    ):
        randomize(module, seed)
        module.save_pretrained(folder / name)
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    entries = []
    for name in files:
        if name != "model.yaml":
            content = (folder / name).read_bytes()
            entries.append({"path": name, "size": len(content), "digest": digest(content), "source": None})
    (folder / "weights.lock").write_text(json.dumps({"files": entries}))
    return folder


def small_repository(root: Path) -> Path:
    """Make `root` a repository that Cog serves: predict.py and train.py as they are, and this model."""
    for name in ("predict.py", "train.py"):
        shutil.copy(REPOSITORY / name, root)
    small_emoji(root / "weights" / "emoji")
    return root


def config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())
