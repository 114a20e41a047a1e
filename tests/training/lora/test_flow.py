"""What is learnt is what the pipeline needs: with a transformer that knows the answer, it gives the clean latents."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from easel.errors import WeightsError
from easel.training.flow import add_noise, draw_sigmas, generator_of, predict, shift_of, target_of


class Oracle(torch.nn.Module):
    """Gives the training target of any noisy latents, since it knows the clean ones; keeps the times it was asked."""

    def __init__(self, transformer, clean):
        super().__init__()
        self.config, self.dtype, self.in_channels = transformer.config, transformer.dtype, transformer.in_channels
        self.clean, self.times, self.device = clean, [], clean.device

    def forward(self, x, t, cap_feats, return_dict=True, **kwargs):
        self.times.append(float(t[0]))
        outputs = []
        for latents, time in zip(x, t, strict=True):
            sigma = 1 - time
            noise = (latents.squeeze(1) - (1 - sigma) * self.clean) / sigma
            outputs.append(target_of(self.clean, noise).unsqueeze(1))
        return (outputs,)


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_with_an_oracle_of_the_training_target_the_pipeline_returns_the_clean_latents(components, steps):
    clean = torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(1))
    pipeline = components.new_pipeline("text")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.transformer = oracle = Oracle(components.transformer.module, clean)
    latents = pipeline(
        "a dog", height=64, width=64, num_inference_steps=steps, guidance_scale=0, output_type="latent"
    ).images
    torch.testing.assert_close(latents[0], clean, rtol=1e-4, atol=1e-4)
    sigmas = FlowMatchEulerDiscreteScheduler.from_config(dict(components.scheduler_config)).sigmas
    assert oracle.times[0] == pytest.approx(1 - float(sigmas[0]), abs=1e-3)  # begins with noise alone


def test_the_transformer_is_asked_as_the_pipeline_asks_it(components):
    """The times and latents that a training gives are those at which the oracle is right."""
    clean = torch.randn(8, 8, 8)
    noise, sigmas = torch.randn(3, 8, 8, 8), torch.tensor([0.1, 0.5, 0.9])
    oracle = Oracle(components.transformer.module, clean)
    output = predict(oracle, add_noise(clean, noise, sigmas), sigmas, [torch.zeros(4, 48)] * 3)
    torch.testing.assert_close(output, target_of(clean, noise), rtol=1e-4, atol=1e-4)


def test_noise_is_added_as_the_scheduler_does():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(8)
    clean, noise = torch.randn(8, 8, 4, 4), torch.randn(8, 8, 4, 4)
    theirs = scheduler.scale_noise(clean, scheduler.timesteps, noise)
    torch.testing.assert_close(add_noise(clean, noise, scheduler.sigmas[:-1]), theirs)


def test_the_shift_is_the_schedulers_own():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    plain = draw_sigmas(1000, 1.0, generator_of(1, 2))
    scheduler.set_timesteps(sigmas=plain.numpy())
    torch.testing.assert_close(draw_sigmas(1000, 3.0, generator_of(1, 2)), scheduler.sigmas[:-1])
    assert 0.4 < float(plain.median()) < 0.6  # logit-normal around one half
    assert 0.7 < float(draw_sigmas(1000, 3.0, generator_of(1, 2)).median()) < 0.8  # 3 * 0.5 / (1 + 2 * 0.5)


def test_seed_and_step_alone_decide_what_is_random():
    def draw(seed, step):
        return torch.randn(4, generator=generator_of(seed, step)).tolist()

    assert draw(3, 5) == draw(3, 5)
    assert len({tuple(draw(seed, step)) for seed in (0, 1, 2**32 - 1) for step in (0, 1, 6000)}) == 9


def test_a_schedule_that_is_more_than_a_shift_is_refused():
    assert shift_of({"shift": 3.0, "use_dynamic_shifting": False}) == 3.0
    with pytest.raises(WeightsError, match="use_dynamic_shifting"):
        shift_of({"use_dynamic_shifting": True})
