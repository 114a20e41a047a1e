"""LoRAs that are kept in memory between requests."""

import gc

import torch
from safetensors.torch import save_file

from easel.lora import adapter as adapters
from easel.lora.adapter import AdapterMemory
from tests.model.adapters.common import adapter_file, saved
from tests.support.lora_files import METADATA, peft_tensors, renamed


def test_a_lora_used_again_is_not_read_again_and_the_oldest_goes_first(components, base, tmp_path):
    files = [saved(tmp_path / f"{seed}.safetensors", peft_tensors(base, seed), METADATA) for seed in range(3)]
    memory = AdapterMemory()
    first, known = memory.load(files[0], components.transformer)
    assert not known
    memory = AdapterMemory(budget=2 * first.size)  # room for two
    asked = [memory.load(files[k], components.transformer)[1] for k in (0, 1, 0, 2, 0, 1)]
    assert asked == [False, False, True, False, True, False]
    assert memory.size == 2 * first.size
    files[0].path.unlink()
    assert memory.load(files[0], components.transformer)[1]


def test_small_loras_are_not_kept_for_ever(components, base, tmp_path, monkeypatch):
    """What a LoRA costs besides its tensors has an end too: settings of 1 MB beside a file of some bytes, say."""
    monkeypatch.setattr(adapters, "MAX_KEPT", 3)
    file = saved(tmp_path / "lora.safetensors", peft_tensors(base))
    memory = AdapterMemory()
    for alpha in range(1, 10):
        config = {"lora_alpha": alpha, "note": "x" * 1_000_000}
        memory.load(adapter_file(file.path, config), components.transformer)
    assert len(memory._kept) == 3
    assert sum(len(part) for key in memory._kept for part in key) < 1000


def test_a_lora_over_the_budget_works_and_is_not_kept(components, base, tmp_path):
    file = saved(tmp_path / "lora.safetensors", peft_tensors(base), METADATA)
    memory = AdapterMemory(budget=1)
    adapter, _ = memory.load(file, components.transformer)
    assert adapter.pairs
    assert memory.size == 0


def test_the_same_file_with_other_settings_is_another_lora(components, base, tmp_path):
    save_file(renamed(peft_tensors(base)), tmp_path / "lora.safetensors")
    memory = AdapterMemory()
    one, other = (
        memory.load(adapter_file(tmp_path / "lora.safetensors", {"lora_alpha": alpha}), components.transformer)[0]
        for alpha in (4, 8)
    )
    assert next(iter(one.pairs.values())).scaling * 2 == next(iter(other.pairs.values())).scaling


def test_nothing_of_a_lora_stays_in_memory_when_it_is_forgotten(components, base, picture, tmp_path):
    memory = AdapterMemory()
    adapter, _ = memory.load(saved(tmp_path / "a.safetensors", peft_tensors(base), METADATA), components.transformer)
    picture((adapter, 1.0))  # what is made once and kept, such as torch's own caches
    gc.collect()
    gc.disable()
    try:
        before = tensors_alive()
        picture((adapter, 1.0))
        assert tensors_alive() == before, "peft's layers must go without the garbage collector"
    finally:
        gc.enable()


def tensors_alive() -> int:
    return sum(1 for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter))
