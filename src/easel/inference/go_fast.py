"""go_fast: every second pass of the transformer is skipped and its output extrapolated from the last two.

A flow model's prediction changes slowly once the outlines stand, so a straight line through the last two results meets
the next one closely. That is the first order of TaylorSeer (arXiv 2503.06923), applied to the whole transformer.
diffusers' own caches put hooks into the blocks, which all requests share; this stands before the transformer in one
request's pipeline, so there is nothing to put back. Its FirstBlockCache cannot read the arguments of Z-Image's blocks.
"""

from typing import Any

import torch


class FastTransformer:
    """The transformer for the denoising of one image.

    The first `exact_passes` (at least 2) are computed; of those that follow, the first is extrapolated, the second
    computed, and so on.
    """

    def __init__(self, transformer: torch.nn.Module, exact_passes: int) -> None:
        self.transformer = transformer
        self.exact_passes = exact_passes
        self.done = 0
        self.results: list[tuple[torch.Tensor, list[torch.Tensor]]] = []  # the last two: (t, predictions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transformer, name)  # config, dtype, in_channels

    def __call__(self, x: list[torch.Tensor], t: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[list[torch.Tensor]]:
        """One prediction, in a tuple as pipelines take it: a tensor like each of `x`, for its time in `t` (len(x),)."""
        beyond = self.done - self.exact_passes
        self.done += 1
        if beyond >= 0 and beyond % 2 == 0:
            return (extrapolate(t, *self.results),)
        predictions = self.transformer(x, t, *args, **kwargs)[0]
        self.results = [*self.results[-1:], (t, predictions)]
        return (predictions,)


def extrapolate(
    t: torch.Tensor, before: tuple[torch.Tensor, list[torch.Tensor]], last: tuple[torch.Tensor, list[torch.Tensor]]
) -> list[torch.Tensor]:
    """Return the straight line through two results, at time `t`. Nothing is read back from the device."""
    ahead = (t - last[0]) / (last[0] - before[0])
    return [new + (new - old) * factor for old, new, factor in zip(before[1], last[1], ahead, strict=True)]
