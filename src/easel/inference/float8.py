"""EASEL_GO_FAST=1: the large matrix products of the transformer's middle blocks in float8.

Weights have a scale for each output, activations one for each token, made as they come (the per-row recipe of torchao).
torchao itself is not used: diffusers imports it at every start as soon as it is installed, and its quantizer refuses a
CPU, so that nothing of it could be tested here.

The same layers are stored as float8 by EASEL_MEMORY=float8. All others stay as they are: patch embedder, final layer,
timestep and AdaLN layers, norms and the refiners. With those in float8 too, Z-Image-Turbo draws noise (LPIPS 0.74 to
the exact image; 0.07 without them: vllm-project/vllm-omni#2795).
"""

import re

import torch
from torch.nn.functional import ScalingType, scaled_mm

FLOAT8 = torch.float8_e4m3fn
LARGEST = 448.0  # of e4m3fn
SMALLEST_SCALE = 1e-12  # for a row of zeros
MULTIPLE = 16  # CUDA's kernels take matrices with sides of this multiple
MIN_CAPABILITY = (8, 9)  # Ada (L4, L40S, RTX 40); the kernels are missing below
MIDDLE = re.compile(r"layers\.\d+\.(?:attention\.to_(?:q|k|v|out\.0)|feed_forward\.w[123])")


class Float8Linear(torch.nn.Linear):
    """A linear layer whose weight is (outputs, inputs) in float8, and to be multiplied by `scale` (outputs, 1)."""

    scale: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., inputs) -> (..., outputs) in the dtype of x; the product itself is rounded to bfloat16."""
        rows, scale = to_float8(x.reshape(-1, x.shape[-1]))
        row_wise = ScalingType.RowWise
        product = scaled_mm(rows, self.weight.t(), scale, row_wise, self.scale.t(), row_wise, use_fast_accum=True)
        shaped: torch.Tensor = product.to(x.dtype).unflatten(0, x.shape[:-1])
        return shaped if self.bias is None else shaped + self.bias


def to_float8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a matrix in float8 and the float32 factor (rows, 1) that gives each row its size back."""
    scale = (rows.abs().amax(dim=1, keepdim=True).float() / LARGEST).clamp(min=SMALLEST_SCALE)
    return (rows.float() / scale).clamp(-LARGEST, LARGEST).to(FLOAT8), scale


def middle_linears(transformer: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """Return the linear layers that may be float8, by their names."""
    return {
        name: layer
        for name, layer in transformer.named_modules()
        if isinstance(layer, torch.nn.Linear) and MIDDLE.fullmatch(name)
    }


def multiply_in_float8(transformer: torch.nn.Module, device: torch.device) -> str:
    """Replace the middle blocks' linear layers by Float8Linear, in place; return a line for the log.

    Nothing is replaced on a card without kernels for it.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return "go_fast: off, since this card has no float8 kernels; they need compute capability 8.9 or higher"
    linears = {
        name: layer
        for name, layer in middle_linears(transformer).items()
        if layer.in_features % MULTIPLE == layer.out_features % MULTIPLE == 0
    }
    before = sum(layer.weight.nbytes for layer in linears.values())
    for name, layer in linears.items():
        transformer.set_submodule(name, float8_linear(layer))
    return (
        f"go_fast: {len(linears)} linear layers multiply in float8, {before / 1e9:.2f} GB of weights take "
        f"{sum(layer.weight.numel() for layer in linears.values()) / 1e9:.2f} GB; images differ from the exact ones"
    )


def float8_linear(layer: torch.nn.Linear) -> Float8Linear:
    replaced = Float8Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    weight, scale = to_float8(layer.weight)
    replaced.weight = torch.nn.Parameter(weight, requires_grad=False)
    replaced.bias = layer.bias
    replaced.register_buffer("scale", scale)
    return replaced.eval()
