"""LoRA on the emoji model: every format gives peft's own image, nothing is applied in part, nothing remains."""

import gc
import hashlib
import io
import json
import math
from pathlib import Path

import pytest
import torch
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file

from easel.errors import AdapterError
from easel.inference.pipeline import Timings, run_plan
from easel.lora import adapter as adapters
from easel.lora.adapter import Adapter, AdapterMemory, Pair, load_adapter
from easel.lora.files import AdapterFile
from easel.lora.settings import AdapterSettings
from easel.plan import plan_request
from easel.request import Request
from tests.support.lora_files import ALPHA, FORMATS, METADATA, RANK, peft_original, peft_tensors, renamed, write_lora

SMALL = {"seed": 3, "width": 64, "height": 64, "num_inference_steps": 2}


def adapter_file(path: Path, config: dict | None = None) -> AdapterFile:
    beside = path.parent / "adapter_config.json"
    if config is None and beside.exists():
        config = json.loads(beside.read_text())
    return AdapterFile(path, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}", config, path.name)


def saved(path: Path, tensors: dict, metadata: dict | None = None) -> AdapterFile:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return adapter_file(path)


@pytest.fixture(scope="module")
def base(components):
    return components.transformer.module


@pytest.fixture(scope="module")
def tensors(base):
    return peft_tensors(base)


@pytest.fixture
def picture(components):
    """The pixels of one small image with these LoRAs."""

    def make(*adapters: tuple[Adapter, float], **inputs) -> bytes:
        request = Request(**{"prompt": "red apple", **SMALL, **inputs})
        plan = plan_request(request, components.model)
        (image,) = run_plan(plan, components, Timings(), adapters=adapters, log=io.StringIO())
        return image.tobytes()

    return make


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


def spoiled(tensors, change):
    changed = dict(renamed(tensors, prefix="transformer."))
    change(changed, next(iter(changed)))
    return changed


def drop(tensors, key):
    del tensors[key]


def fill(value):
    def change(tensors, key):
        tensors[key] = torch.full_like(tensors[key], value)

    return change


def add(name, shape=(4, 4), dtype=torch.float32):
    def change(tensors, _key):
        tensors[name] = torch.zeros(shape, dtype=dtype)

    return change


def replace_all(prefix):
    def change(tensors, _key):
        named = {f"{prefix}.{k}.lora_{'AB'[k % 2]}.weight": tensor for k, tensor in enumerate(tensors.values())}
        tensors.clear()
        tensors.update(named)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (drop, "half of a pair is missing"),
        (fill(math.nan), "NaN or infinite"),
        (fill(math.inf), "NaN or infinite"),
        (
            add("transformer.layers.99.attention.to_q.lora_A.weight"),
            "1 of its .*layers.99.*larger model",
        ),
        (add("text_encoder.layers.0.q_proj.lora_A.weight"), "text encoder are not used"),
        (add("transformer.layers.0.attention.to_q.lokr_w1"), "LoKr, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.hada_w1_a"), "LoHa, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.dora_scale"), "DoRA, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.lora_magnitude_vector.weight"), "DoRA, not a plain LoRA"),
        (add("transformer.layers.0.attention.to_q.lora_mid.weight"), "convolution cores"),
        (add("transformer.layers.0.attention.to_q.diff"), "full-rank differences"),
        (add("transformer.layers.0.attention.to_q.lora_B.bias"), "changes biases"),
        (add("transformer.layers.0.attention.to_q.lora_down.weight"), "two tensors for one place"),
        (replace_all("double_blocks"), "another base model.*FLUX"),
        (replace_all("lora_unet_down_blocks_1_attentions"), "another base model.*Stable Diffusion"),
        (replace_all("joint_blocks"), "another base model.*Stable Diffusion 3"),
        (replace_all("transformer_blocks"), "another base model.*Qwen-Image"),
        (replace_all("somewhere"), "another base model: none of its"),
        (lambda tensors, key: tensors.update({key: tensors[key].to(torch.int64)}), "torch.int64, not fractional"),
        (lambda tensors, key: tensors.update({key: torch.zeros(RANK, 3840)}), r"\(4, 3840\).*another size"),
        (lambda tensors, key: tensors.update({key: torch.zeros(RANK, 5, 1, 1)}), r"\(4, 5\)"),
        (lambda tensors, key: tensors.clear(), "holds no tensors"),
    ],
)
def test_what_cannot_be_honoured_in_full_is_refused(components, tensors, tmp_path, change, sentence):
    file = saved(tmp_path / "bad.safetensors", spoiled(tensors, change))
    with pytest.raises(AdapterError, match=sentence):
        load_adapter(file, components.transformer)


def test_ranks_over_256_are_refused(components, base, tmp_path):
    large = peft_tensors(base, rank=257, target_modules=["layers.0.attention.to_q"])
    with pytest.raises(AdapterError, match="rank 257; at most 256"):
        load_adapter(saved(tmp_path / "large.safetensors", large), components.transformer)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"peft_type": "LOKR"}, "it is LOKR"),
        ({"use_dora": True}, "it is DoRA"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"lora_alpha": math.inf}, "NaN or infinite"),
        ({"lora_alpha": 10**400}, "lora_alpha overflows a float"),
        ({"lora_alpha": 10**400, "use_rslora": True}, "lora_alpha overflows a float"),
        ({"alpha_pattern": {"(a+)+$": 3}}, r"alpha_pattern has '\(a\+\)\+\$'; .* without repeated groups"),
        ({"alpha_pattern": {"((((a{99}){99}){99}){99}){99}": 3}}, "without repeated groups"),
        ({"alpha_pattern": {"(?:.?|.?)" * 45 + "[A-Z]": 3}}, "takes too long"),
        ({"alpha_pattern": {"(to_q": 3}}, "alpha_pattern has '\\(to_q'"),
        ({"alpha_pattern": {"a" * 501: 3}}, "at most 500 characters"),
        ({"alpha_pattern": dict.fromkeys(map(str, range(2001)), 3)}, "is 2001 names; .* at most 2000 names"),
        ({"alpha_pattern": 3}, "alpha_pattern is 3; it must be a mapping"),
        ({"rank_pattern": 3}, "rank_pattern is 3; it must be a mapping"),
        ({"r": 8}, "say rank 8 for .*, and its tensors have 4"),
        ({"r": RANK, "rank_pattern": {"to_q": 8}}, "say rank 8 for .*to_q"),
        ({"r": True}, "say rank True"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(components, tensors, tmp_path, config, sentence):
    save_file(renamed(tensors), tmp_path / "lora.safetensors")
    with pytest.raises(AdapterError, match=sentence):
        load_adapter(adapter_file(tmp_path / "lora.safetensors", config), components.transformer)


class Counted(dict):
    """Counts how often it is gone through."""

    passes = 0

    def items(self):
        self.passes += 1
        return super().items()


def test_alpha_pattern_is_read_once_however_many_layers_there_are(components, tensors, tmp_path):
    """A million names in it cost 88 s when each layer read them all."""
    save_file(renamed(tensors), tmp_path / "lora.safetensors")
    patterns = Counted({f"layer_{k}": 1 for k in range(1000)})
    load_adapter(adapter_file(tmp_path / "lora.safetensors", {"alpha_pattern": patterns}), components.transformer)
    assert patterns.passes == 1


LAYERS = ("to_q", "a.to_q", "b.a.to_q", "b.to_q", "to_k", "layers.1.attention.to_out.0", "layers.11.feed_forward.w1")


@pytest.mark.parametrize(
    "patterns",
    [
        {"a.to_q": 2, "to_q": 3, "^b.a.to_q": 4, "o_q": 5},
        {"^to_q": 2, "to_q": 3},
        {r"layers\.\d+\.attention\..*": 2, ".*w1": 3},
        {r"layers\.(1|2)\..*": 2, r"layers\.[0-9]{2}\.(?:feed_forward|attention)\.w[123]": 3},
        {"to_[qk]": 2, r"[^.]+\.to_q": 3},
        {".*": 2, "to_q": 3},
        {"to_q|to_k": 2, "to_out.0$": 3},
        {r"(a\.)?to_q": 2, "to_out": 3, "w?": 4},
    ],
)
def test_patterns_are_read_as_peft_reads_them(patterns):
    settings = AdapterSettings({}, {"lora_alpha": 1, "alpha_pattern": patterns})
    by_peft = [patterns.get(get_pattern_key(list(patterns), layer), 1) for layer in LAYERS]
    assert [settings.scaling((layer,), 1, 1, None) for layer in LAYERS] == by_peft


def test_a_matrix_for_three_layers_goes_by_its_own_name_and_by_theirs():
    settings = AdapterSettings({}, {"r": 4, "lora_alpha": 8, "alpha_pattern": {"attention.qkv": 2}})
    assert settings.scaling(("a.attention.to_q", "a.attention.qkv"), 4, 3, None) == 2 / 4
    assert settings.scaling(("a.attention.to_q", "a.attention.qkv"), 12, 3, None) == 2 / 4, "ranks side by side"
    assert settings.scaling(("a.attention.to_out.0", "a.attention.out"), 4, 1, None) == 8 / 4


@pytest.mark.parametrize("many", [100_000, 1_000_000])
def test_large_metadata_are_refused(components, tensors, tmp_path, many):
    patterns = {"transformer.alpha_pattern": {f"layer_{k}": 1 for k in range(many)}}
    file = saved(tmp_path / "lora.safetensors", renamed(tensors), {"lora_adapter_metadata": json.dumps(patterns)})
    with pytest.raises(AdapterError, match="at most"):
        load_adapter(file, components.transformer)


def test_a_file_that_lists_too_many_tensors_is_refused_before_they_are_looked_up(components, tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "safe_open", None)
    many = {f"layer.{k}.lora_A.weight": torch.zeros(0) for k in range(90_000)}
    file = saved(tmp_path / "lora.safetensors", many)
    with pytest.raises(AdapterError, match="its list of tensors has [0-9]+ bytes; at most 5000000 are read"):
        load_adapter(file, components.transformer)


def test_sentence_stays_short_however_long_a_name_is(components, tensors, tmp_path):
    key = next(iter(tensors)).removesuffix(".lora_A.weight")
    for name, shape in (("a" * 100_000, (3, 3)), ("b" * 100_000, (1, 1, 1))):
        down, up = f"{key}.lora_A.{name}.weight", f"{key}.lora_B.{name}.weight"
        file = saved(tmp_path / "lora.safetensors", {down: torch.zeros(shape), up: torch.zeros(shape)})
        with pytest.raises(AdapterError) as caught:
            load_adapter(file, components.transformer)
        assert len(str(caught.value)) < 1000


def test_names_cannot_begin_a_line_of_the_log(components, tmp_path):
    file = saved(tmp_path / "lora.safetensors", {"a\nwarning: all is well\u2028.lora_A.weight": torch.zeros(1)})
    with pytest.raises(AdapterError, match="warning") as caught:
        load_adapter(file, components.transformer)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_file_that_is_no_whole_safetensors_file_is_refused(components, tensors, tmp_path, cut):
    whole = write_lora(tmp_path / "lora.safetensors", tensors)
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(AdapterError, match="not a valid safetensors file"):
        load_adapter(adapter_file(tmp_path / "cut.safetensors"), components.transformer)


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
