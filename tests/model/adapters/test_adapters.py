"""A LoRA changes the image as peft would, and leaves nothing."""

import hashlib
import io
import math

import pytest
import torch
from safetensors.torch import save_file

from easel.errors import AdapterError
from easel.inference.pipeline import Timings, run_plan
from easel.lora.adapter import Adapter, Pair, load_adapter
from easel.plan import plan_request
from easel.request import Request
from tests.model.adapters.common import SMALL, adapter_file, saved
from tests.support.lora_files import ALPHA, FORMATS, METADATA, RANK, peft_original, write_lora


@pytest.fixture(scope="module")
def peft_made(components, base):
    """By whether the LoRA changes every layer: its tensors, and the image that peft's own layers make with it."""
    made = {}
    for everywhere in (False, True):
        settings = {"target_modules": list(components.transformer.linears)} if everywhere else {}
        original, tensors = peft_original(base, strength=0.03 if everywhere else 0.06, **settings)
        pipeline = components.new_pipeline("text")
        pipeline.transformer = original
        plan = plan_request(Request("red apple", **SMALL), components.model)
        (picture,) = run_plan(plan, PipelineOf(components, pipeline), Timings(), log=io.StringIO())
        made[everywhere] = tensors, picture.tobytes()
    return made


def weights(components) -> bytes:
    """A digest of every number of the base model, and of the names and kinds of its layers."""
    state = hashlib.sha256()
    for name, module in components.transformer.module.named_modules():
        state.update(f"{name} {type(module)}".encode())
    for name, tensor in components.transformer.module.state_dict().items():
        state.update(name.encode() + tensor.numpy().tobytes())
    return state.digest()


@pytest.mark.parametrize("everywhere", [False, True], ids=["attention", "every layer"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_picture_of_the_peft_original(
    components, peft_made, picture, tmp_path, form, everywhere
):
    tensors, expected = peft_made[everywhere]
    file = adapter_file(write_lora(tmp_path / "lora.safetensors", tensors, form))
    before = components.modules["transformer"]
    made = picture((load_adapter(file, components.transformer), 1.0))
    assert before is components.modules["transformer"]
    if "fused" in form:  # a rank of twelve instead of three times four is added up in another order
        assert max(abs(a - b) for a, b in zip(made, expected, strict=True)) <= 2
    else:
        assert made == expected


def test_a_lora_of_every_layer_and_one_of_attention_make_other_pictures(peft_made, picture):
    assert len({picture(), peft_made[False][1], peft_made[True][1]}) == 3


class PipelineOf:
    """Components whose pipeline is given."""

    def __init__(self, components, pipeline):
        self.model, self.transformer, self.pipeline = components.model, components.transformer, pipeline
        self.memory, self.attention = components.memory, components.attention

    def new_pipeline(self, kind):
        return self.pipeline


def test_base_model_is_the_same_bit_for_bit_afterwards(components, picture, tensors, tmp_path):
    before, plain = weights(components), picture()
    adapter = load_adapter(saved(tmp_path / "a.safetensors", tensors, METADATA), components.transformer)
    assert picture((adapter, 1.0), (adapter, -0.5)) != plain
    assert weights(components) == before
    assert picture() == plain


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_base_model_is_restored_when_denoising_ends_early(components, picture, tensors, tmp_path, error, monkeypatch):
    before, plain = weights(components), picture()
    adapter = load_adapter(saved(tmp_path / "a.safetensors", tensors, METADATA), components.transformer)

    def fail(*_args, **_kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(components.modules["vae"], "decode", fail)
        with pytest.raises(type(error)):
            picture((adapter, 1.0))
    assert weights(components) == before
    assert picture() == plain


def test_what_an_interrupted_restore_left_is_put_right_by_the_next_request(components, picture, tensors, tmp_path):
    plain = picture()
    adapter = load_adapter(saved(tmp_path / "a.safetensors", tensors, METADATA), components.transformer)
    held = components.transformer.adapted([(adapter, 1.0)])
    held.__enter__()  # and no exit, as if a second cancellation had struck in its `finally`
    assert picture() == plain
    held.__exit__(None, None, None)


def test_scales_work_as_told(components, base, picture, tensors, tmp_path):
    adapter = load_adapter(saved(tmp_path / "a.safetensors", tensors, METADATA), components.transformer)
    assert picture((adapter, 0.0)) == picture()
    doubled = Adapter("doubled", {name: Pair(p.down, p.up, p.scaling * 2) for name, p in adapter.pairs.items()})
    assert picture((adapter, 2.0)) == picture((doubled, 1.0)) != picture((adapter, 1.0))
    assert picture((adapter, 1.0), (adapter, -1.0), num_inference_steps=1) != picture(
        (adapter, 1.0), num_inference_steps=1
    )


@pytest.mark.filterwarnings("ignore:.*encountered in cast:RuntimeWarning")
def test_a_lora_that_leaves_no_numbers_is_an_error_and_no_black_picture(components, picture, tensors, tmp_path):
    plain = picture()
    adapter = load_adapter(saved(tmp_path / "a.safetensors", tensors, METADATA), components.transformer)
    huge = Adapter("huge", {name: Pair(p.down, p.up, 1e38) for name, p in adapter.pairs.items()})
    with pytest.raises(AdapterError, match="lower lora_scales"):
        picture((huge, 2.0))
    assert picture() == plain


def test_alpha_comes_from_the_tensor_then_the_settings_then_the_rank(components, tensors, tmp_path):
    def scaling(name, tensors, metadata=None, config=None):
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / name, metadata)
        pairs = load_adapter(adapter_file(tmp_path / name, config or {}), components.transformer).pairs
        return {pair.scaling for pair in pairs.values()}

    alpha = {name.replace("lora_A.weight", "alpha"): torch.tensor(2.0) for name in tensors if "lora_A" in name}
    assert scaling("1", tensors) == {1.0}
    assert scaling("2", tensors, METADATA) == {ALPHA / RANK}
    assert scaling("3", tensors, config={"lora_alpha": 8}) == {8 / RANK}
    assert scaling("4", tensors, config={"lora_alpha": 8, "use_rslora": True}) == {8 / math.sqrt(RANK)}
    assert scaling("5", {**tensors, **alpha}, METADATA) == {2 / RANK}
    assert scaling("6", tensors, config={"lora_alpha": 8, "alpha_pattern": {"to_q": 2}}) == {8 / RANK, 2 / RANK}
