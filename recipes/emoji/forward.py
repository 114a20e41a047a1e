"""The transformer's forward pass on whole batches, for training: the same modules and numbers as the model's own."""

import copy
from typing import Any

import torch
from torch.nn import functional as F

from recipes.emoji import text


class RealRotaryProcessor:
    """Z-Image's attention with the rotation written in real numbers, which torch.compile can fuse."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        freqs_cis: Any = None,
    ) -> torch.Tensor:
        def heads(x: torch.Tensor) -> torch.Tensor:
            split: torch.Tensor = x.unflatten(-1, (attn.heads, -1))
            return split

        def rotate(x: torch.Tensor) -> torch.Tensor:
            cos, sin = freqs_cis[0][:, None], freqs_cis[1][:, None]
            even, odd = x[..., 0::2], x[..., 1::2]
            return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)

        query = rotate(attn.norm_q(heads(attn.to_q(hidden_states)))).transpose(1, 2)
        key = rotate(attn.norm_k(heads(attn.to_k(hidden_states)))).transpose(1, 2)
        value = heads(attn.to_v(hidden_states)).transpose(1, 2)
        out = F.scaled_dot_product_attention(query, key, value)
        result: torch.Tensor = attn.to_out[0](out.transpose(1, 2).flatten(2))
        return result


def rotation(model: Any, ids: list[tuple[int, int, int]]) -> torch.Tensor:
    """cos and sin of every position: (2, tokens, head_dim / 2)."""
    freqs = model.rope_embedder(torch.tensor(ids))
    return torch.stack((freqs.real, freqs.imag))


def predict(
    model: Any, latents: torch.Tensor, time: torch.Tensor, captions: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """The transformer's forward on a whole batch of one size instead of a list of images.

    latents (B, 8, H, W), time (B,) in 0..1, captions (B, CAPTION_TOKENS, 384), lengths (B,) -> (B, 8, H, W).
    Equal to the model's own forward (`check_forward`), at three quarters of its time.
    """
    batch, channels, height, width = latents.shape
    rows, columns = height // 2, width // 2
    image_tokens = rows * columns
    padding = -image_tokens % text.CAPTION_TOKENS
    caption_ids = [(1 + i, 0, 0) for i in range(text.CAPTION_TOKENS)]
    image_ids = [(text.CAPTION_TOKENS + 1, r, c) for r in range(rows) for c in range(columns)] + [(0, 0, 0)] * padding

    adaln = model.t_embedder(time * model.t_scale)
    patches = latents.view(batch, channels, rows, 2, columns, 2).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    x = model.all_x_embedder["2-1"](patches)
    if padding:
        x = torch.cat((x, model.x_pad_token.expand(batch, padding, -1)), dim=1)
    image_rotation, caption_rotation = rotation(model, image_ids), rotation(model, caption_ids)
    for block in model.noise_refiner:
        x = block(x, None, image_rotation, adaln)

    is_padding = (torch.arange(text.CAPTION_TOKENS) >= lengths[:, None]).unsqueeze(-1)
    caption = torch.where(is_padding, model.cap_pad_token, model.cap_embedder(captions))
    for block in model.context_refiner:
        caption = block(caption, None, caption_rotation)

    x = torch.cat((x, caption), dim=1)
    both = torch.cat((image_rotation, caption_rotation), dim=1)
    for block in model.layers:
        x = block(x, None, both, adaln)
    out: torch.Tensor = model.all_final_layer["2-1"](x[:, :image_tokens], c=adaln)
    return out.view(batch, rows, columns, 2, 2, channels).permute(0, 5, 1, 3, 2, 4).reshape(latents.shape)


def use_real_rotation(model: Any) -> None:
    for block in (*model.noise_refiner, *model.context_refiner, *model.layers):
        block.attention.set_processor(RealRotaryProcessor())


@torch.no_grad()
def check_forward(model: Any) -> None:
    """The batched forward and the model's own agree on random input, square and padded sizes alike."""
    batched = copy.deepcopy(model)
    use_real_rotation(batched)
    for size in ((16, 16), (12, 22), (10, 24)):
        latents, time = torch.randn(3, 8, *size), torch.rand(3)
        captions, lengths = torch.randn(3, text.CAPTION_TOKENS, 384), torch.tensor([2, 7, 32])
        ours = predict(batched, latents, time, captions, lengths)
        cut = [c[:n] for c, n in zip(captions, lengths, strict=True)]
        theirs = torch.stack(model(list(latents.unsqueeze(2)), time, cut, return_dict=False)[0]).squeeze(2)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
