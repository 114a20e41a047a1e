"""The embeddings that are kept change no pixel, hold no text and stay within their bytes."""

import io

import pytest
import torch

from easel.inference.embeddings import MAX_PROMPTS, EmbeddingMemory, size_of
from easel.inference.pipeline import Timings, run_plan
from easel.plan import plan_request
from easel.request import Request


def embeds(value: float, tokens: int = 4, width: int = 8):
    return {"prompt_embeds": [torch.full((tokens, width), value)], "negative_prompt_embeds": None}


def fail():
    pytest.fail("encoded although its embeddings are kept")


@pytest.fixture
def encoded(components, monkeypatch):
    """The prompts that went through the text encoder."""
    calls = []
    forward = components.modules["text_encoder"].forward

    def counted(*args, **kwargs):
        calls.append(1)
        return forward(*args, **kwargs)

    monkeypatch.setattr(components.modules["text_encoder"], "forward", counted)
    return calls


@pytest.mark.parametrize("guidance", [0, 2])
def test_a_prompt_is_encoded_once_and_draws_the_same_pixels(components, encoded, guidance):
    memory = EmbeddingMemory()

    def draw(prompt: str, kept: EmbeddingMemory | None) -> bytes:
        request = Request(prompt, seed=5, num_inference_steps=2, guidance_scale=guidance)
        plan = plan_request(request, components.model)
        (image,) = run_plan(plan, components, Timings(), log=io.StringIO(), embeddings=kept)
        return image.tobytes()

    apple, pear = draw("an apple", None), draw("a pear", None)
    each = len(encoded) // 2
    encoded.clear()
    assert [draw(prompt, memory) for prompt in ("an apple", "a pear", "an apple")] == [apple, pear, apple]
    assert len(encoded) == 2 * each


def test_the_negative_prompt_is_part_of_the_key():
    memory = EmbeddingMemory()
    first, second = embeds(1), embeds(2)
    assert memory.get("cat", None, lambda: first) is first
    assert memory.get("cat", "", lambda: second) is second
    assert memory.get("cat", None, fail) is first


def test_what_is_kept_stays_within_the_budget_and_the_oldest_goes():
    one = size_of(embeds(0))
    memory = EmbeddingMemory(budget=2 * one)
    for number, prompt in enumerate(["a", "b", "a", "c"]):
        memory.get(prompt, None, lambda number=number: embeds(number))
        assert memory.size <= memory.budget
    assert memory.get("a", None, fail)["prompt_embeds"][0][0, 0] == 0
    again = embeds(9)
    assert memory.get("b", None, lambda: again) is again
    large = embeds(1, tokens=9)
    assert memory.get("large", None, lambda: large) is large
    assert memory.size == 2 * one
    memory.clear()
    assert memory.size == 0


def test_of_small_embeddings_the_latest_stay():
    memory = EmbeddingMemory()
    for number in range(MAX_PROMPTS + 1):
        memory.get(str(number), None, lambda: embeds(1))
    memory.get("1", None, fail)
    assert memory.size == MAX_PROMPTS * size_of(embeds(1))


def test_what_raises_keeps_nothing():
    memory = EmbeddingMemory()
    with pytest.raises(RuntimeError):
        memory.get("cat", None, lambda: (_ for _ in ()).throw(RuntimeError))
    value = embeds(1)
    assert memory.get("cat", None, lambda: value) is value


def test_no_text_is_kept():
    memory = EmbeddingMemory()
    memory.get("a secret prompt", "and another", lambda: embeds(1))
    assert "secret" not in repr(vars(memory))
