"""EASEL_GO_FAST=1: products in float8 for the layers that bear it, and the same image for the same request."""

import pytest
import torch
from gpu_check.layout import REAL

from easel.inference.float8 import Float8Linear, float8_linear, middle_linears, multiply_in_float8, to_float8
from easel.inference.options import Options
from tests.support.loading import load_folder
from tests.support.small_emoji import small_emoji
from tests.support.tiny_z_image import MODEL, tiny_z_image_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_near_the_exact_one_whatever_the_size_of_its_rows(dtype):
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 32, bias=False, dtype=dtype).requires_grad_(False)
    layer.weight *= torch.logspace(-3, 3, 32)[:, None]
    x = (torch.randn(2, 5, 64) * torch.logspace(-2, 2, 5)[:, None]).to(dtype)
    exact, fast = layer(x).float(), float8_linear(layer)(x)
    assert (fast.shape, fast.dtype) == ((2, 5, 32), dtype)
    scale = x.float().norm(dim=-1, keepdim=True) * layer.weight.float().norm(dim=-1)
    assert ((fast - exact).abs() / scale).max() < 0.02  # 3 bits of mantissa in each factor, 64 of them added up


def test_a_row_of_zeros_stays_zero_and_no_number_overflows():
    rows, scale = to_float8(torch.tensor([[0.0, 0.0], [3e38, -1.0]]))
    assert rows[0].float().tolist() == [0, 0]
    assert (rows.float() * scale).isfinite().all()


def test_the_layers_of_the_real_model_that_become_float8():
    with torch.device("meta"):
        transformer = REAL.modules()[0]
    linears = middle_linears(transformer)
    kinds = {name.split(".", 2)[2] for name in linears}
    assert len(linears) == 30 * 7
    assert kinds == {"attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0"} | {
        f"feed_forward.w{k}" for k in (1, 2, 3)
    }
    assert all(layer.in_features % 16 == layer.out_features % 16 == 0 for layer in linears.values())


def test_a_card_without_kernels_keeps_its_layers(monkeypatch, components):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    said = multiply_in_float8(components.transformer.module, torch.device("cuda"))
    assert said.startswith("go_fast: off")
    assert not any(isinstance(layer, Float8Linear) for layer in components.transformer.module.modules())


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    return load_folder(small_emoji(tmp_path_factory.mktemp("fast") / "emoji"), options=Options(go_fast=True))


def test_the_same_request_gives_the_same_image_before_and_after_another(fast, components, draw_small):
    first = draw_small(fast, "a dog")
    assert first != draw_small(components, "a dog")
    assert draw_small(fast, "a cat", num_outputs=2)[0] != first[0]
    assert draw_small(fast, "a dog") == first


def test_a_lora_goes_on_top_and_leaves_nothing(fast, draw_small, lora_of):
    first, lora = draw_small(fast, "a dog"), lora_of(fast)
    with_lora = draw_small(fast, "a dog", adapters=[(lora, 1.0)])
    assert with_lora != first
    assert draw_small(fast, "a dog", adapters=[(lora, 1.0)]) == with_lora
    assert draw_small(fast, "a dog") == first


def test_it_runs_in_bfloat16_as_the_flagship_does(tmp_path, draw_small, capfd):
    tiny_z_image_model(tmp_path)
    folder = tmp_path / "weights" / MODEL.name
    fast = load_folder(folder, mounted=tmp_path / "checkpoint", options=Options(go_fast=True))
    assert "go_fast: 12 linear layers multiply in float8" in capfd.readouterr().err
    assert draw_small(fast, "a dog") == draw_small(fast, "a dog")
