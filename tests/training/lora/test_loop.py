"""The steps: the loss of what is trained falls, and nothing else changes."""

import io
import re
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from easel.training import loop
from easel.training.checkpoint import Progress
from easel.training.dataset import read_dataset
from easel.training.flow import add_noise, draw_sigmas, generator_of, predict, target_of
from easel.training.layers import TrainedLayers
from easel.training.loop import Trainer, new_optimizer, passes, rate_factor, save_memory
from easel.training.prepare import prepare
from easel.training.settings import LORA_TARGETS

# replicate-python 1.0.7, replicate/prediction.py: what its client takes for a progress bar, at a line's beginning.
REPLICATES_BAR = re.compile(r"^(?P<percentage>\d+)%\|(?:.+?)\|\s(?P<current>\d+)/(?P<total>\d+)")


@pytest.fixture
def trainer(components, settings):
    layers = TrainedLayers(components.transformer, LORA_TARGETS["attention"], 4, seed=1)
    optimizer = new_optimizer(layers, settings.learning_rate, torch.device("cpu"))
    prepared = prepare(read_dataset(settings.input_images, settings.captions), components, settings)
    return Trainer(components, prepared, layers, optimizer, settings, Progress(7))


@torch.no_grad()
def loss_on_all(trainer, prepared):
    """On fixed noise, with the LoRA."""
    total = 0.0
    with trainer.layers.applied():
        for k, sample in enumerate(prepared.samples):
            generator = generator_of(99, k)
            clean = sample.latents.expand(8, -1, -1, -1)
            sigmas, noise = draw_sigmas(8, 1.0, generator), torch.randn(clean.shape, generator=generator)
            noisy = add_noise(clean, noise, sigmas)
            output = predict(trainer.components.transformer.module, noisy, sigmas, [sample.embeds] * 8)
            total += float(mse_loss(output, target_of(clean, noise)))
    return total


def test_the_loss_falls_and_the_model_itself_stays_as_it_was(trainer, components, settings):
    prepared = prepare(read_dataset(settings.input_images, settings.captions), components, settings)
    before = {name: tensor.clone() for name, tensor in components.transformer.module.state_dict().items()}
    first = loss_on_all(trainer, prepared)
    steps = []
    metrics = trainer.run(steps.append, io.StringIO())
    assert steps == list(range(1, 101))
    assert metrics.steps == len(trainer.progress.losses) == 100
    assert metrics.steps_per_second > 0
    assert metrics.peak_memory_gb > 0.1
    assert loss_on_all(trainer, prepared) < 0.97 * first
    after = components.transformer.module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in components.transformer.module.parameters())


def test_the_lora_changes_nothing_before_it_is_trained_and_is_float32(trainer):
    assert {parameter.dtype for parameter in trainer.layers.parameters.values()} == {torch.float32}
    pairs = trainer.layers.as_adapter("lora").pairs
    assert set(pairs) == {
        f"layers.{k}.attention.{one}" for k in range(3) for one in ("to_q", "to_k", "to_v", "to_out.0")
    }
    assert not any(pair.up.any() for pair in pairs.values())
    assert all(pair.down.any() for pair in pairs.values())


def test_feed_forward_layers_are_trained_where_they_are_asked_for(components):
    layers = TrainedLayers(components.transformer, LORA_TARGETS["attention_and_feed_forward"], 4, seed=1)
    assert len(layers.as_adapter("lora").pairs) == 3 * 7
    assert "layers.2.feed_forward.w3.lora_B.weight" in layers.parameters


def test_every_line_of_the_bar_is_one_that_replicates_clients_read(trainer):
    stream = io.StringIO()
    trainer.run(lambda step: None, stream)
    lines = stream.getvalue().splitlines()
    found = [REPLICATES_BAR.match(line) for line in lines]
    assert all(found)
    assert (found[-1]["percentage"], found[-1]["current"], found[-1]["total"]) == ("100", "100", "100")
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d, +[\d.]+(it/s|s/it), loss=\d\.\d{4}\]$", lines[-1])


def test_several_passes_of_one_batch_give_the_gradients_of_one(trainer, monkeypatch):
    monkeypatch.setattr(trainer._batches, "of_step", lambda step: [0, 1, 3])
    trainer.optimizer = torch.optim.SGD(trainer.layers.parameters.values(), lr=0.0)
    gradients = []
    for tokens in (4096, 16):  # all three images at once, one by one
        monkeypatch.setattr(loop, "PASS_TOKENS", tokens)
        assert len(passes(torch.empty(3, 8, 8, 8))) == (1 if tokens == 4096 else 3)
        trainer.take_step(0)
        gradients.append([parameter.grad.clone() for parameter in trainer.layers.parameters.values()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert any(gradient.any() for gradient in gradients[0])


def test_prompts_that_are_preserved_are_drawn_as_before(components, settings):
    prepared = prepare(read_dataset(settings.input_images, settings.captions), components, settings)
    assert len(prepared.preserved) == 48  # of emoji's model.yaml
    noisy, sigmas = torch.randn(4, 8, 8, 8), torch.full((4,), 0.7)
    changes = []
    for preserved in ((), prepared.preserved):
        layers = TrainedLayers(components.transformer, LORA_TARGETS["attention"], 4, seed=1)
        fast = replace(settings, learning_rate=0.01)
        optimizer = new_optimizer(layers, 0.01, torch.device("cpu"))
        chosen = replace(prepared, preserved=preserved)
        Trainer(components, chosen, layers, optimizer, fast, Progress(7)).run(lambda step: None, io.StringIO())
        transformer, embeds = components.transformer.module, list(prepared.preserved[:4])
        with torch.no_grad():
            before = predict(transformer, noisy, sigmas, embeds)
            with layers.applied():
                changes.append(float(mse_loss(predict(transformer, noisy, sigmas, embeds), before)))
    assert 0 < changes[1] < 0.5 * changes[0]


def test_gradient_checkpointing_as_on_a_gpu_gives_the_same_gradients(trainer):
    trainer.optimizer = torch.optim.SGD(trainer.layers.parameters.values(), lr=0.0)
    trainer.take_step(0)
    plain = [parameter.grad.clone() for parameter in trainer.layers.parameters.values()]
    save_memory(trainer.components.transformer.module)
    assert trainer.components.transformer.module.gradient_checkpointing
    trainer.take_step(0)
    for parameter, gradient in zip(trainer.layers.parameters.values(), plain, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_the_rate_warms_up_and_ends_near_zero():
    factors = [rate_factor(step, 600) for step in range(600)]
    assert factors[0] == 0.05
    assert factors[19] == factors[299] == 1.0
    assert 0 < factors[-1] < 0.01
    assert max(factors) == 1.0
