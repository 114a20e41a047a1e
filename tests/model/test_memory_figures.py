"""docs/deploy.md says how much memory Z-Image-Turbo needs; the real classes at real sizes on the meta device agree."""

import re
import weakref
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from gpu_check.layout import REAL
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from easel.inference.float8 import middle_linears
from easel.inference.memory import LAYERS_AWAY
from easel.models import load_model
from easel.weights.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]
MANUAL = (ROOT / "docs/deploy.md").read_text()


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made under it, and the most that were alive at once."""

    def __init__(self):
        super().__init__()
        self.sizes, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage()._cdata) not in self.sizes:
                self.sizes[key] = tensor.untyped_storage().nbytes()
                weakref.finalize(tensor.untyped_storage(), self.sizes.pop, key)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def peak_gb(call):
    with LiveBytes() as live, torch.inference_mode():
        call()
    return round(live.peak / 1e9, 2)


def on_meta(*shape):
    return torch.empty(shape, dtype=torch.bfloat16, device="meta")


def figure(row):
    (line,) = [line for line in MANUAL.splitlines() if line.startswith(f"| {row}")]
    return float(re.findall(r"([\d.]+)\**(?: GB)? \|$", line)[0])


@pytest.fixture(scope="module")
def vae():
    with torch.device("meta"):
        return AutoencoderKL(**REAL.vae).to(torch.bfloat16).eval()


def test_vae(vae):
    assert figure("VAE:") == round(sum(one.numel() for one in vae.parameters()) * 2 / 1e9, 2)
    assert figure("VAE decoder") == peak_gb(lambda: vae.decode(on_meta(1, 16, 128, 128)))
    assert figure("VAE encoder") == peak_gb(lambda: vae.encode(on_meta(1, 3, 1024, 1024)))


def test_vae_at_two_megapixels(vae):
    (line,) = [line for line in MANUAL.splitlines() if line.startswith("| 1408 x 1472")]
    assert float(line.split("|")[3]) == peak_gb(lambda: vae.decode(on_meta(1, 16, 1472 // 8, 1408 // 8)))


def test_transformer():
    with torch.device("meta"):
        transformer = ZImageTransformer2DModel().to(torch.bfloat16).eval()
    latents, time, prompt = [on_meta(16, 1, 128, 128)], torch.empty(1, device="meta"), [on_meta(512, 2560)]
    assert figure("transformer, 64") == peak_gb(lambda: transformer(latents, time, prompt, return_dict=False))


def mode_rows():
    """The sums of the modes: (mode, moment) -> on the card, activations, CUDA's own, together."""
    found = {}
    for line in MANUAL.splitlines():
        if line.startswith(("| turns |", "| float8 |")):
            mode, moment, *figures = (cell.strip() for cell in line.strip("|").split("|"))
            found[mode, re.split(r"[:,]", moment)[0]] = [float(figure.split()[0]) for figure in figures]
    return found


def test_modes():
    with torch.device("meta"):
        transformer = ZImageTransformer2DModel().to(torch.bfloat16)
    rows = mode_rows()
    whole = sum(one.nbytes for one in transformer.parameters()) / 1e9
    last = sum(one.nbytes for layer in transformer.layers[-LAYERS_AWAY:] for one in layer.parameters()) / 1e9
    linears = middle_linears(transformer)
    halved = sum(layer.weight.nbytes for layer in linears.values()) / 2e9
    of_last = (
        sum(layer.weight.nbytes for name, layer in linears.items() if int(name.split(".")[1]) >= 30 - LAYERS_AWAY) / 2e9
    )
    one_layer = max(layer.weight.nbytes for layer in linears.values()) / 1e9
    vae, checker, encoder = figure("VAE:"), figure("safety checker"), figure("text encoder, without")
    image, decoder = figure("VAE encoder"), figure("VAE decoder")
    expected = {
        ("turns", "the prompt"): (encoder + vae, figure("text encoder, 512")),
        ("turns", "denoising"): (whole + vae, image),
        ("turns", "decoding"): (whole - last + vae + checker, decoder),
        ("float8", "denoising"): (whole - halved + one_layer + vae, image),
        ("float8", "decoding"): (whole - halved - (last - of_last) + vae + checker, decoder),
    }
    assert rows.keys() == expected.keys()
    for key, (weights, activations) in expected.items():
        assert rows[key][:2] == [pytest.approx(weights, abs=0.006), activations], key
        assert rows[key][3] == pytest.approx(sum(rows[key][:3]), abs=0.051), key


def test_what_a_mode_needs_in_model_yaml_is_its_largest_moment():
    needs = load_model(ROOT / "weights/z-image-turbo").memory_modes
    rows = mode_rows()
    for mode in ("turns", "float8"):
        largest = max(sum(figures[:3]) for (of, _), figures in rows.items() if of == mode)
        assert largest <= needs[mode] < largest + 0.1
    assert needs["turns"] <= 14.5
    (line,) = [line for line in MANUAL.splitlines() if line.startswith("| 1024 x 1024")]
    assert float(line.split("|")[5].split()[0]) == needs["resident"]


def test_weights_of_the_lock():
    sizes = {file.path: file.size for file in read_manifest(ROOT / "weights/z-image-turbo").files}
    for path in ("transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert f"{sizes[path]:,}" in MANUAL


def test_the_sums_are_right():
    rows = ("transformer |", "text encoder, without", "VAE:", "safety checker")
    assert figure("**together") == round(sum(figure(row) for row in rows), 2)
    for line in re.findall(r"^\| 1\d+ x 1\d+.*\|$", MANUAL, re.MULTILINE):
        *parts, together = (float(cell.split()[0]) for cell in line.split("|")[2:6])
        assert round(sum(parts), 1) == together
