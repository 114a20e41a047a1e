"""EASEL_MEMORY on the tiny Z-Image-Turbo: parts that take turns draw the same images; what does not fit is refused."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from easel.errors import ResourceError
from easel.inference.engine import Engine
from easel.inference.memory import Turns, choose_mode
from easel.inference.options import Options
from easel.inference.pipeline import Timings, run_plan
from easel.inference.staging import PinnedCopies
from easel.lora.files import AdapterFiles
from easel.models import load_model
from easel.plan import plan_request
from easel.request import Request
from tests.support.loading import load_folder
from tests.support.lora_files import peft_tensors, write_lora
from tests.support.tiny_z_image import MODEL, tiny_z_image_model

SMALL = {"prompt": "a red apple", "seed": 3, "width": 64, "height": 96, "num_inference_steps": 2}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("modes")
    tiny_z_image_model(root)
    return root


@pytest.fixture(scope="module")
def engines(root):
    """An engine for each mode, made when it is first asked for."""
    made: dict[str, Engine] = {}

    def engine(mode: str) -> Engine:
        if mode not in made:
            components = load_folder(
                root / "weights" / MODEL.name, mounted=root / "checkpoint", options=Options(memory=mode)
            )
            made[mode] = Engine(components, AdapterFiles(root / f"adapters-{mode}", allow_files=True))
        return made[mode]

    yield engine
    for one in made.values():
        one.outputs.root.cleanup()


@pytest.fixture(scope="module")
def lora(engines, root) -> str:
    tensors = peft_tensors(engines("resident").components.transformer.module)
    return str(write_lora(root / "lora.safetensors", tensors))


@pytest.fixture(scope="module")
def source(root) -> Path:
    path = root / "source.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 64, 3), dtype=np.uint8)).save(path)
    return path


def draw(engine: Engine, **inputs) -> list[np.ndarray]:
    request = Request(**{**SMALL, "output_format": "png", **inputs})
    return [np.asarray(Image.open(path), dtype=int) for path in engine.answer(request, lambda name, value: None)]


def same(ours: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(ours) == len(others) and all(map(np.array_equal, ours, others))


@pytest.mark.parametrize("inputs", [{}, {"num_outputs": 3}, {"guidance_scale": 2.0, "negative_prompt": "blue"}])
def test_turns_draw_the_images_of_resident_weights_in_any_order(engines, inputs):
    expected = draw(engines("resident"), **inputs)
    assert same(draw(engines("turns"), **inputs), expected)
    draw(engines("turns"), prompt="an old blue house")
    assert same(draw(engines("turns"), **inputs), expected)


def test_turns_draw_the_same_with_a_lora_and_from_an_image(engines, lora, source):
    for inputs in ({"lora_weights": [lora], "num_outputs": 2}, {"image": source}, {"image": source, "mask": source}):
        expected = draw(engines("resident"), **inputs)
        assert same(draw(engines("turns"), **inputs), expected)
        assert not same(draw(engines("turns")), expected)


def test_only_what_works_is_on_the_device(engines, monkeypatch):
    """A parameter at home has the data of its home: a module that ran with such data would fail on a card."""
    components = engines("turns").components
    homes = components.memory.turns.homes
    seen: dict[str, set[str]] = {}

    def watch(name):
        def hook(module, *_):
            seen[name] = {
                group
                for group, parameters in homes.items()
                if parameters
                and all(p.data is not h for p, h in parameters)
                and all(p.data_ptr() != h.data_ptr() for p, h in parameters)
            }

        return hook

    vae, transformer = components.modules["vae"], components.transformer.module
    handles = [
        components.modules["text_encoder"].register_forward_pre_hook(watch("text_encoder")),
        transformer.layers[0].register_forward_pre_hook(watch("transformer")),
        vae.decoder.register_forward_pre_hook(watch("decoder")),
        components.safety_checker.classifier.register_forward_pre_hook(watch("safety_checker")),
    ]
    try:
        draw(engines("turns"), prompt="a prompt that was not seen before")
    finally:
        for handle in handles:
            handle.remove()
    assert seen == {
        "text_encoder": {"text_encoder"},
        "transformer": {"transformer", "last_layers"},
        "decoder": {"transformer", "safety_checker"},
        "safety_checker": {"transformer", "safety_checker"},
    }


def test_what_ends_in_mid_turn_is_put_right_by_the_next(engines, monkeypatch):
    expected = draw(engines("turns"))
    for strike in (1, 40, 200):
        original, count = torch.Tensor.copy_, [0]

        def copy_(self, *arguments, original=original, count=count, strike=strike, **options):
            count[0] += 1
            if count[0] == strike:
                raise KeyboardInterrupt
            return original(self, *arguments, **options)

        engines("turns").components.memory.before("decode")
        monkeypatch.setattr(torch.Tensor, "copy_", copy_)
        with pytest.raises(KeyboardInterrupt):
            list(map(engines("turns").components.memory.before, ("encode_prompt", "denoise")))
        monkeypatch.setattr(torch.Tensor, "copy_", original)
        assert same(draw(engines("turns")), expected)


def test_float8_keeps_the_order_of_requests_without_effect_and_takes_a_lora(engines, lora):
    engine = engines("float8")
    exact, first = draw(engines("resident")), draw(engine)
    assert not same(first, exact)
    assert abs(first[0] - exact[0]).mean() < 40  # random weights: only that it is no other image
    with_lora = draw(engine, lora_weights=[lora])
    assert not same(with_lora, first)
    assert same(draw(engine), first)
    assert same(draw(engine, lora_weights=[lora]), with_lora)


def test_float8_stores_the_large_layers_of_the_middle_alone(engines):
    transformer = engines("float8").components.transformer
    stored = {name for name, layer in transformer.linears.items() if layer.weight.dtype == torch.float8_e4m3fn}
    assert len(stored) == 7 * len(transformer.module.layers)
    assert all(name.startswith("layers.") for name in stored)
    assert not any("adaLN" in name for name in stored)
    assert transformer.dtype == torch.bfloat16


def test_float8_decodes_in_tiles_above_the_native_area_only(engines):
    components = engines("float8").components
    small = replace(components, model=replace(components.model, native_area=64 * 96))
    calls = []
    hook = components.modules["vae"].decoder.register_forward_hook(lambda *call: calls.append(call[2].shape[2:]))
    try:
        for width, tiles in ((96, 1), (1040, 2), (96, 1)):
            request = Request(**{**SMALL, "width": width, "height": 64, "num_inference_steps": 1})
            calls.clear()
            (image,) = run_plan(plan_request(request, small.model), small, Timings(), log=io.StringIO())
            assert (image.size, len(calls)) == ((width, 64), tiles)
    finally:
        hook.remove()


def test_the_free_memory_decides():
    model = load_model(MODEL)
    needs = model.memory_modes
    logs: list[str] = []
    chosen = [choose_mode(model, free * 1e9, None, logs.append) for free in (80, 24.1, 15.6, 11.8)]
    assert chosen == ["resident", "resident", "turns", "float8"]
    assert logs[2].startswith("memory: turns: 15.6 GB of the card are free; at 1024 x 1024 resident needs ")
    assert choose_mode(model, None, None, logs.append) == "resident"  # on a CPU
    with pytest.raises(ResourceError, match=rf"8\.0 GB.*float8 needs {needs['float8']:g} GB"):
        choose_mode(model, 8.0e9, None, logs.append)


def test_easel_memory_overrules_and_says_what_may_not_fit():
    model, logs = load_model(MODEL), []

    def log(*lines: str) -> None:
        logs.extend(lines)

    assert choose_mode(model, 80e9, "float8", log) == "float8"
    assert not any("warning" in line for line in logs)
    assert choose_mode(model, 12e9, "resident", log) == "resident"
    assert logs[-1].startswith("warning: ")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"EASEL_MEMORY": "small"}, "resident, turns, float8"),
        ({"EASEL_COMPILE": "yes"}, "EASEL_COMPILE is 'yes'"),
        ({"EASEL_GO_FAST": "1", "EASEL_MEMORY": "turns"}, "unset one"),
    ],
)
def test_a_value_that_does_not_exist_is_refused(environ, words):
    with pytest.raises(ResourceError, match=words):
        Options.from_environ(environ)


def test_options_are_read_from_the_environment():
    environ = {"EASEL_COMPILE": "1", "EASEL_ATTENTION": "0", "EASEL_GO_FAST": "", "EASEL_MEMORY": "float8"}
    assert Options.from_environ(environ) == Options(compile=True, memory="float8")
    assert Options.from_environ({}) == Options()


def test_pinned_copies_share_blocks_and_a_large_one_has_its_own():
    copies = PinnedCopies(CPU, block_bytes=4096)
    tensors = [torch.arange(n, dtype=dtype) for n in (3, 500, 0, 5000) for dtype in (torch.float32, torch.uint8)]
    made = [copies.copy(tensor) for tensor in tensors]
    assert all(map(torch.equal, made, tensors))
    assert made[0].untyped_storage().data_ptr() == made[1].untyped_storage().data_ptr()


def test_a_group_that_is_not_named_is_at_home():
    one, two = (torch.nn.Parameter(torch.full((2,), value)) for value in (1.0, 2.0))
    turns = Turns({"one": [one], "two": [two]}, CPU)
    turns.bring("one")
    turns.bring("two")
    assert one.data_ptr() == turns.homes["one"][0][1].data_ptr()
    assert two.data_ptr() != turns.homes["two"][0][1].data_ptr()
    assert two.tolist() == [2.0, 2.0]
