"""What a training gives: a safetensors file, and a tar with it, its settings, the loss curve and validation images."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from easel.errors import ResourceError
from easel.files import disk_errors, write_atomically
from easel.lora.adapter import Adapter
from easel.training.curve import loss_image, loss_table
from easel.training.settings import TrainingSettings
from easel.training.validation import IMAGES

LORA_NAME, TAR_NAME, REPORT = "lora.safetensors", "weights.tar", "report.html"
PREFIX = "diffusion_model."  # ostris/ai-toolkit's, which ComfyUI and diffusers read


def lora_file(adapter: Adapter, metadata: Mapping[str, str]) -> bytes:
    """Return the LoRA as a safetensors file with ai-toolkit's names. Alpha is the rank and needs no tensor."""
    tensors = {}
    for name, pair in adapter.pairs.items():
        for part, tensor in (("lora_A", pair.down), ("lora_B", pair.up)):
            tensors[f"{PREFIX}{name}.{part}.weight"] = tensor.cpu().contiguous()
    return with_sorted_metadata(save(tensors, dict(metadata)))


def with_sorted_metadata(file: bytes) -> bytes:
    """Return a safetensors file whose metadata are in order: the library writes them in another one each time.

    The format: eight bytes with the header's length, the header as JSON filled up with spaces, the tensors.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def metadata_of(
    settings: TrainingSettings, seed: int, *, model: str, digest: str, adapter: str | None, dataset: str, license: str
) -> dict[str, str]:
    """Return what the file says of itself. `digest`: of the base weights, `adapter`: of the training adapter."""
    return {
        "alpha": str(settings.lora_rank),
        "base_model": model,
        "base_model_digest": digest,
        "dataset_digest": f"sha256:{dataset}",
        "format": "pt",
        "license": license,
        "rank": str(settings.lora_rank),
        "seed": str(seed),
        "steps": str(settings.steps),
        "training_adapter_digest": adapter or "none",
        "trigger_word": settings.trigger_word,
    }


def config_inputs(settings: TrainingSettings, seed: int) -> dict[str, Any]:
    """Return the settings that make this LoRA again, as config.yaml has them."""
    inputs = asdict(settings)
    inputs["input_images"] = settings.input_images.name
    inputs["resolution"] = ",".join(map(str, inputs.pop("resolutions")))
    inputs["seed"] = seed
    return inputs


def config_text(inputs: Mapping[str, Any], metadata: Mapping[str, str], quality: Mapping[str, float]) -> str:
    """Return config.yaml: the settings, the file's metadata and the figures of the report."""
    values = {"inputs": dict(inputs), "metadata": dict(metadata), "quality": dict(quality)}
    text: str = yaml.safe_dump(values, sort_keys=True, allow_unicode=True, width=1000)
    return text


def write_outputs(folder: Path, lora: bytes, config: str, report: str, losses: Sequence[float]) -> tuple[Path, Path]:
    """Write the tar of all, the LoRA and the report into the folder; return the first two's paths.

    Raises ResourceError.
    """
    curve = io.BytesIO()
    loss_image(losses).save(curve, "PNG")
    members = {
        LORA_NAME: lora,
        "config.yaml": config.encode(),
        REPORT: report.encode(),
        "loss.csv": loss_table(losses).encode(),
        "loss.png": curve.getvalue(),
    }
    members |= {f"{IMAGES}/{path.name}": path.read_bytes() for path in sorted((folder / IMAGES).glob("*.png"))}
    with disk_errors(folder):
        for name in (LORA_NAME, REPORT):
            with write_atomically(folder / name) as stream:
                stream.write(members[name])
        with write_atomically(folder / TAR_NAME) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return folder / TAR_NAME, folder / LORA_NAME


def check_finite(adapter: Adapter) -> None:
    """Raise ResourceError for a LoRA with NaN or infinite numbers."""
    bad = [name for name, pair in adapter.pairs.items() if not (is_finite(pair.down) and is_finite(pair.up))]
    if bad:
        raise ResourceError(
            f"The training diverged (NaN or infinite numbers in {', '.join(bad[:3])}): lower learning_rate and "
            "train anew."
        )


def is_finite(tensor: torch.Tensor) -> bool:
    return bool(tensor.isfinite().all())
