"""Flow matching in the conventions of diffusers' ZImagePipeline, so that what is learnt is what its steps need.

Between a clean image's latents and noise lies a straight line: `(1 - sigma) * clean + sigma * noise`, as
FlowMatchEulerDiscreteScheduler.scale_noise has it. The pipeline (diffusers 0.42.1, pipeline_z_image.py) gives the
transformer the time `(1000 - t) / 1000` with t = 1000 * sigma (line 511) and negates its output (line 568); the
scheduler's step then adds `(sigma_next - sigma) * that`, so that must be `noise - clean`, and the transformer's own
output `clean - noise`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from easel.errors import WeightsError


def shift_of(scheduler_config: Mapping[str, Any]) -> float:
    """Return the scheduler's shift. Raises WeightsError for a schedule that is more than a shift."""
    others = ("use_dynamic_shifting", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas")
    found = [name for name in (*others, "use_beta_sigmas", "invert_sigmas") if scheduler_config.get(name)]
    if found:
        raise WeightsError(
            f"This model's scheduler has {', '.join(found)}: training knows schedules with a fixed shift alone."
        )
    return float(scheduler_config.get("shift", 1.0))


def generator_of(seed: int, step: int) -> torch.Generator:
    """Return the generator of all that is random in one step, on the CPU: the same on every device.

    It depends on seed and step alone, so a training that goes on at some step needs no state of an earlier one. torch
    seeds with 32 bits; SeedSequence makes them of both numbers.
    """
    state = np.random.SeedSequence([seed, step]).generate_state(1)[0]
    return torch.Generator("cpu").manual_seed(int(state))


def draw_sigmas(count: int, shift: float, generator: torch.Generator) -> torch.Tensor:
    """Return `count` noise levels from 0 to 1: logit-normal (https://arxiv.org/abs/2403.03206, section 3.1), then
    shifted as FlowMatchEulerDiscreteScheduler.set_timesteps does.
    """
    sigmas = torch.sigmoid(torch.randn(count, generator=generator))
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def add_noise(clean: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Return noisy latents: clean and noise (B, channels, height, width), sigmas (B,)."""
    mix = sigmas.view(-1, 1, 1, 1)
    return (1 - mix) * clean + mix * noise


def target_of(clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Return what the transformer should give: the way from noise to the clean latents."""
    return clean - noise


def predict(
    transformer: Any, noisy: torch.Tensor, sigmas: torch.Tensor, embeds: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the transformer's output (B, channels, height, width), float32, for captions of any length.

    embeds: one (tokens, width) for each image.
    """
    inputs = list(noisy.to(transformer.dtype).unsqueeze(2))
    outputs = transformer(inputs, 1 - sigmas, list(embeds), return_dict=False)[0]
    return torch.stack([output.float() for output in outputs]).squeeze(2)
