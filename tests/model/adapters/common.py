"""What the tests of LoRA adapters share."""

import hashlib
import json
from pathlib import Path

from safetensors.torch import save_file

from easel.lora.files import AdapterFile

SMALL = {"seed": 3, "width": 64, "height": 64, "num_inference_steps": 2}


def adapter_file(path: Path, config: dict | None = None) -> AdapterFile:
    beside = path.parent / "adapter_config.json"
    if config is None and beside.exists():
        config = json.loads(beside.read_text())
    return AdapterFile(path, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}", config, path.name)


def saved(path: Path, tensors: dict, metadata: dict | None = None) -> AdapterFile:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return adapter_file(path)
