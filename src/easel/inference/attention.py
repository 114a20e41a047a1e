"""EASEL_ATTENTION=1: the transformer's attention by the first back end of model.yaml that works on this card."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

from easel.logs import first_line

DEFAULT = "native"  # torch chooses among its kernels
TOKENS = 64  # of the trial
FAR = 0.02  # of the largest number: what bfloat16 rounds away twice over


class Attention:
    """The back end of a transformer of diffusers; `name` is None for torch's own choice.

    Flash back ends refuse a mask, and the two prompts of a guided request need one when they differ in length: such a
    request runs with torch's own choice.
    """

    def __init__(self, transformer: Any, name: str | None = None, takes_mask: bool = True) -> None:
        self.transformer = transformer
        self.name = name
        self.takes_mask = takes_mask
        self._set: str | None = None

    def set(self, guided: bool) -> None:
        """Set the transformer up for a request, whatever the one before has left."""
        if self.name is None:
            return
        wanted = DEFAULT if guided and not self.takes_mask else self.name
        if self._set != wanted:  # diffusers warns each time that it is an experimental feature
            self._set = None  # until it is done: a cancel can strike in between
            self.transformer.set_attention_backend(wanted)
            self._set = wanted


def choose_attention(
    transformer: Any, names: Sequence[str], device: torch.device, log: Callable[[str], None]
) -> Attention:
    """Return the first of diffusers' back ends in `names` that can be had and is right on this device.

    Why one is passed over is logged.
    """
    for name in names:
        try:
            transformer.set_attention_backend(name)
            attend(transformer, name, device, masked=False)
        except Exception as error:  # a missing package, kernel, network or card shows itself in many kinds
            log(f"attention: {name} cannot be used: {first_line(error)}")
            continue
        finally:
            transformer.set_attention_backend(DEFAULT)  # its reset_attention_backend leaves the one that was set
        try:
            attend(transformer, name, device, masked=True)
            takes_mask = True
        except Exception:
            takes_mask = False
        log(f"attention: {name}{'' if takes_mask else '; requests with guidance by the default, for it takes no mask'}")
        return Attention(transformer, name, takes_mask)
    log("attention: torch's own choice" + ("" if names else "; model.yaml names no back end for this device"))
    return Attention(transformer)


def backends_for(choices: Any, device: torch.device) -> Sequence[str]:
    """Return those of model.yaml's `attention` for this device: by CUDA's compute capability ("9.0"), or "cpu"."""
    kind = "cpu" if device.type == "cpu" else ".".join(map(str, torch.cuda.get_device_capability(device)))
    chosen: Sequence[str] = choices.get(kind, ())
    return chosen


def attend(transformer: Any, name: str, device: torch.device, masked: bool) -> None:
    """Try a back end with the transformer's own heads and dtype. Raises whatever it raises, or ValueError."""
    config = transformer.config
    generator = torch.Generator("cpu").manual_seed(0)
    shape = (2 if masked else 1, TOKENS, config.n_heads, config.dim // config.n_heads)
    query, key, value = (torch.randn(shape, generator=generator).to(device, transformer.dtype) for _ in range(3))
    mask = torch.ones(shape[0], 1, 1, TOKENS, dtype=torch.bool, device=device) if masked else None
    if mask is not None:
        mask[1, ..., TOKENS // 2 :] = False
    found, expected = (
        dispatch_attention_fn(query, key, value, attn_mask=mask, backend=AttentionBackendName(one))
        for one in (name, DEFAULT)
    )
    if not (found - expected).abs().max() <= FAR * expected.abs().max():  # false for NaN too
        raise ValueError("its result is wrong")
