"""EASEL_ATTENTION=1: the first back end that works, and torch's own where a mask is in the way."""

from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

from easel.inference.attention import Attention, backends_for, choose_attention
from easel.models import load_model
from tests.support.tiny_z_image import MODEL

CPU = torch.device("cpu")
FLASH = "_native_flash"  # of torch; on a CPU it takes no mask either


@pytest.fixture(autouse=True)
def reset(components):
    yield
    components.transformer.module.set_attention_backend("native")


def chosen(components, *names: str) -> tuple[Attention, list[str]]:
    logs: list[str] = []
    return choose_attention(components.transformer.module, names, CPU, logs.append), logs


def backends(components) -> set[str]:
    return {block.attention.processor._attention_backend.value for block in components.transformer.module.layers}


def test_the_first_that_works_is_taken_and_the_others_are_named_with_the_reason(components):
    attention, logs = chosen(components, "_flash_3_hub", "_native_cudnn", FLASH, "_native_math")
    assert attention.name == FLASH
    assert [line.split()[1].rstrip(";") for line in logs] == ["_flash_3_hub", "_native_cudnn", FLASH]
    assert "cannot be used: " in logs[0]


def test_without_one_torch_chooses_and_the_log_says_so(components):
    attention, logs = chosen(components, "flash", "no such back end")
    assert attention.name is None
    assert len(logs) == 3
    assert "must be one of" in logs[1]


def test_one_whose_result_is_wrong_is_passed_over(components, monkeypatch):
    backend = AttentionBackendName("_native_math")
    original = _AttentionBackendRegistry._backends[backend]
    monkeypatch.setitem(_AttentionBackendRegistry._backends, backend, lambda *a, **k: original(*a, **k) * 1.1)
    attention, logs = chosen(components, "_native_math", FLASH)
    assert attention.name == FLASH
    assert "its result is wrong" in logs[0]


def test_a_request_with_guidance_runs_by_the_default_where_no_mask_is_taken(components):
    attention = Attention(components.transformer.module, FLASH, takes_mask=False)
    for guided, expected in ((False, FLASH), (True, "native"), (False, FLASH)):
        attention.set(guided)
        assert backends(components) == {expected}
    attention = Attention(components.transformer.module, FLASH, takes_mask=True)
    attention.set(guided=True)
    assert backends(components) == {FLASH}


def test_it_is_set_once_and_again_after_a_cancel_in_between(components, monkeypatch):
    transformer = components.transformer.module
    attention, calls, original = Attention(transformer, FLASH), [], transformer.set_attention_backend

    def set_backend(name):
        calls.append(name)
        original(name)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(transformer, "set_attention_backend", set_backend)
    with pytest.raises(KeyboardInterrupt):
        attention.set(guided=False)
    for _ in range(3):
        attention.set(guided=False)
    assert calls == [FLASH, FLASH]
    monkeypatch.undo()


def test_whether_a_mask_is_taken_is_tried(components):
    assert not chosen(components, FLASH)[0].takes_mask
    assert chosen(components, "_native_math")[0].takes_mask


def test_images_with_prompts_of_two_lengths_are_made(components, draw_small):
    """With guidance the shorter prompt is padded, which is what brings the mask."""
    long = "a red apple on a white table " * 5
    expected = draw_small(components, long, guidance_scale=2.0, negative_prompt="blue")
    with_flash = replace(components, attention=chosen(components, FLASH)[0])
    assert draw_small(with_flash, long, guidance_scale=2.0, negative_prompt="blue") == expected
    assert draw_small(with_flash, long, guidance_scale=0.0) == draw_small(with_flash, long, guidance_scale=0.0)


def test_the_flagship_names_back_ends_that_diffusers_has(monkeypatch):
    known = {one.value for one in AttentionBackendName}
    choices = load_model(MODEL).attention
    assert {name for names in choices.values() for name in names} <= known
    assert backends_for(choices, CPU) == ()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert backends_for(choices, torch.device("cuda"))[0] == "_flash_3_hub"
