"""From files into modules: names of any origin, no copy where none is needed, nothing missing, nothing left over."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config, Qwen3Model

from easel.errors import WeightsError
from easel.inference.tensors import fill_module, fit_names, read_tensors, read_to_device, skip_modules

LAYERS = 4
CONFIG = Qwen3Config(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=LAYERS,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
)
SKIP = (f"layers.{LAYERS - 1}", "norm")


@pytest.fixture(scope="module")
def whole() -> Qwen3Model:
    torch.manual_seed(0)
    return Qwen3Model(CONFIG).eval()


@pytest.fixture(scope="module")
def file(whole, tmp_path_factory) -> Path:
    """As published: the tensors of a language model, under `model.`."""
    path = tmp_path_factory.mktemp("text_encoder") / "model.safetensors"
    save_file({f"model.{name}": tensor for name, tensor in whole.state_dict().items()}, path)
    return path


def empty(skip=()) -> Qwen3Model:
    with init_empty_weights(include_buffers=False):
        module = Qwen3Model(CONFIG)
    skip_modules(module, skip)
    return module.eval()


def filled(file: Path, dtype=torch.float32, skip=()) -> Qwen3Model:
    module = empty(skip)
    tensors = fit_names(read_tensors([file]), module)
    fill_module(module, tensors, dtype, lambda tensor, kind: tensor.to(kind), skip)
    return module


def hidden(module: Qwen3Model) -> list[torch.Tensor]:
    ids = torch.arange(10).reshape(1, 10)
    with torch.inference_mode():
        return list(module(ids, output_hidden_states=True).hidden_states)


def file_of(tensor: torch.Tensor) -> str | None:
    """The file that a tensor's memory is a view of, if it is one."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= tensor.data_ptr() < end:
            return line.split()[5] if len(line.split()) > 5 else None
    return None


def test_a_language_models_file_fills_the_model_without_its_head(whole, file):
    assert all(map(torch.equal, hidden(filled(file)), hidden(whole)))


def test_skipped_layers_change_no_embedding_that_the_pipeline_reads(whole, file):
    module = filled(file, skip=SKIP)
    assert len(hidden(module)) == LAYERS + 1
    assert torch.equal(hidden(module)[-2], hidden(whole)[-2])  # what ZImagePipeline reads
    assert not any(name.startswith(SKIP) for name in module.state_dict())


def test_tensors_of_the_right_type_are_views_of_the_file_and_others_are_not(file):
    assert file_of(filled(file).embed_tokens.weight) == str(file)
    assert file_of(filled(file, torch.bfloat16).embed_tokens.weight) != str(file)


def test_a_tensor_that_is_missing_superfluous_or_of_another_shape_is_named(file):
    tensors = fit_names(read_tensors([file]), empty())
    tensors["more"] = tensors.pop("norm.weight")
    tensors["embed_tokens.weight"] = torch.zeros(3, 3)
    with pytest.raises(WeightsError) as caught:
        fill_module(empty(), tensors, torch.float32, lambda tensor, kind: tensor, ())
    assert str(caught.value) == (
        "The tensors do not fit Qwen3Model: 1 are missing (norm.weight); 1 have no place (more); "
        "1 have another shape (embed_tokens.weight)."
    )


def test_many_wrong_names_are_shown_in_part():
    with pytest.raises(WeightsError, match=r"46 are missing \(embed_tokens.weight, [^,]*, [^,]*, ...\)"):
        fill_module(empty(), {}, torch.float32, lambda tensor, kind: tensor, ())


def test_a_file_that_is_none_is_an_error_with_its_path(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match=f"{path} is not a safetensors file"):
        read_tensors([path])


def test_a_module_to_skip_that_is_not_there_is_named():
    with pytest.raises(WeightsError, match="Qwen3Model has no module 'layers.40'"):
        empty(("layers.40",))


class DirectReader:
    """Has instanttensor's interface, which itself needs CUDA: several files at once, tensors one by one."""

    def __init__(self, files, framework, device):
        assert all(isinstance(file, str) for file in files)
        assert framework == "pt"
        self.files, self.device = files, device

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def tensors(self):
        for file in self.files:
            yield from load_file(file, device=str(self.device)).items()


def test_tensors_come_from_instanttensor_as_from_safetensors(tmp_path, monkeypatch):
    files = [tmp_path / f"{k}.safetensors" for k in range(2)]
    for k, path in enumerate(files):
        save_file({f"tensor {k}": torch.full((2, 3), k, dtype=torch.bfloat16)}, path)
    monkeypatch.setitem(sys.modules, "instanttensor", SimpleNamespace(safe_open=DirectReader))
    found, expected = read_to_device(files, torch.device("cpu")), read_tensors(files)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_instanttensor_refuses_is_a_weights_error(tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise RuntimeError("no such tensor")

    monkeypatch.setitem(sys.modules, "instanttensor", SimpleNamespace(safe_open=refuse))
    with pytest.raises(WeightsError, match=r"a\.safetensors: instanttensor .* no such tensor"):
        read_to_device([tmp_path / "a.safetensors"], torch.device("cpu"))
