"""The recipe's own parts: what it trains is what the pipeline runs, and a stopped run goes on."""

import numpy as np
import torch

from easel.training.measure import pool
from recipes.emoji.card import write_card
from recipes.emoji.clock import Clock, load_checkpoint, save_checkpoint
from recipes.emoji.evaluate import ranks
from recipes.emoji.forward import check_forward, use_real_rotation
from recipes.emoji.muon import Muon, orthogonalize
from recipes.emoji.text import CAPTION_TOKENS
from recipes.emoji.transformer import loss_of, new_model, optimizers


def test_the_batched_forward_of_training_equals_the_models_own(emoji):
    check_forward(emoji.modules["transformer"])


def test_a_new_model_starts_where_it_knows_nothing_and_learns():
    torch.manual_seed(0)
    model = new_model()
    use_real_rotation(model)
    steppers = optimizers(model)
    latents, captions = torch.randn(2, 8, 16, 16), torch.randn(2, CAPTION_TOKENS, 384)
    losses = []
    for _ in range(8):
        torch.manual_seed(1)  # the same noise each time, which can be learned by heart
        loss = loss_of(model, 0.0, latents, captions, torch.tensor([3, 32]))
        loss.backward()
        for optimizer in steppers.values():
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    assert 1.8 < losses[0] < 2.2  # the variance of data minus noise
    assert losses[-1] < 0.9 * losses[0]


def test_muons_update_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((2, 64, 170), (2, 170, 64)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
        assert values.min() > 0.5  # the iteration trades exactness for speed: 0.7 to 1.2 for most
        assert values.max() < 1.3


def train(path, steps: list[int], until: int) -> torch.nn.Linear:
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 8, bias=False)
    parts = {"model": model, "muon": Muon(list(model.parameters()), lr=0.01)}
    state = load_checkpoint(path, parts)
    clock = Clock(state, 60.0, decay_from=0.5)
    for factor in clock:
        assert 0 < factor <= 1
        steps.append(state["step"])
        state["losses"].append(0.0)
        (model.weight**2).sum().backward()
        parts["muon"].step()
        if len(steps) == until:
            clock.stop()  # as Ctrl-C does
    save_checkpoint(path, parts, state)
    return model


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    steps: list[int] = []
    first = train(tmp_path / "run.pt", steps, until=20)
    resumed = torch.nn.Linear(8, 8, bias=False)
    muon = Muon(list(resumed.parameters()), lr=0.01)
    assert load_checkpoint(tmp_path / "run.pt", {"model": resumed, "muon": muon})["step"] == 20
    assert torch.equal(resumed.weight, first.weight)
    assert muon.state[resumed.weight]["momentum"].abs().sum() > 0
    train(tmp_path / "run.pt", steps, until=40)
    assert steps == [*range(40)]


def test_a_run_whose_time_is_used_up_does_nothing():
    state = {"step": 7, "seconds": 61.0, "losses": [], "due": False}
    assert list(Clock(state, 60.0, decay_from=0.5)) == []


def test_a_picture_is_found_among_its_icons_by_its_pooled_pixels():
    icons = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3)).astype(np.uint8)
    icons = np.kron(icons[:, ::32, ::32], np.ones((1, 32, 32, 1))).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 20, icons[2].shape)
    picture = np.clip(icons[2].astype(int) + noise, 0, 255).astype(np.uint8)
    assert ranks(picture[None], icons, [2]).tolist() == [0]
    assert ranks(picture[None], icons, [4])[0] >= 1
    assert pool(icons).shape == (5, 16 * 16 * 3)


def test_the_model_card_can_be_written_from_an_evaluation():
    results = {"icons": 700, "names": 200, "top1": 0.5, "top5": 0.75, "synonyms": 50, "synonyms_top1": 0.3}
    results |= {"synonyms_top5": 0.625, "steps": 8, "guidance_scale": 0.0, "weights": "sha256:0"}
    text = write_card(results, {"step": 100, "seconds": 5400.0})
    assert "| 0.80 | 0.50 |" in text
    assert "100 steps of 64 pictures (1.5 hours" in text
