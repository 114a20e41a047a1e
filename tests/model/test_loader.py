"""From a model's folder to components: only files that are verified."""

import os
import shutil
from pathlib import Path

import pytest

from easel.errors import WeightsError
from tests.support.loading import load_folder

EMOJI = Path(__file__).resolve().parents[2] / "weights" / "emoji"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the emoji model whose large files are links, so that one can be replaced."""
    return shutil.copytree(EMOJI, tmp_path / "emoji", copy_function=os.symlink)


def test_one_flipped_bit_keeps_a_model_from_loading(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()  # the link, not the model's own file
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=": vae/diffusion_pytorch_model.safetensors has digest sha256:"):
        load_folder(folder)


def test_a_model_without_a_lock_does_not_load(folder):
    (folder / "weights.lock").unlink()
    with pytest.raises(WeightsError, match="cannot be verified"):
        load_folder(folder)


def test_the_components_compute_in_the_number_type_that_the_model_names(components):
    kinds = {name: str(module.dtype) for name, module in components.modules.items() if hasattr(module, "dtype")}
    assert kinds == {"text_encoder": "torch.float32", "transformer": "torch.float32", "vae": "torch.float32"}
    assert not any(p.requires_grad for p in components.modules["transformer"].parameters())


def test_each_request_has_a_scheduler_of_its_own(components):
    one, two = components.new_pipeline("text"), components.new_pipeline("text")
    assert one.scheduler is not two.scheduler
    assert one.transformer is two.transformer
