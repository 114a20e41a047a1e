"""The start in two steps: what a snapshot holds, and what happens when the restore has spoilt it."""

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from easel.inference import loader
from easel.inference.held import (
    SAMPLE_BYTES,
    NotRestoredError,
    check_samples,
    check_work,
    modules_of,
    parameters_of,
    take_samples,
)
from easel.inference.options import Options
from easel.inference.restore import Held, hold_model, resume_model
from easel.models import Model, load_model
from easel.weights.store import WeightPaths
from tests.support.loading import load_folder
from tests.support.serving import REPOSITORY
from tests.support.small_emoji import small_emoji

OPTIONS = Options()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(small_emoji(tmp_path_factory.mktemp("small") / "emoji"))


@pytest.fixture
def paths(tmp_path: Path) -> WeightPaths:
    return WeightPaths(tmp_path / "cache", None)


def tensors(loaded) -> list[torch.Tensor]:
    return list(parameters_of(modules_of(loaded)))


def same(some, others) -> bool:
    return all(torch.equal(one, other) for one, other in zip(tensors(some), tensors(others), strict=True))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_what_was_held_is_the_model_that_a_plain_start_loads(model, paths, device, capfd):
    held = hold_model(model, paths, OPTIONS, device)
    resumed = resume_model(held, model, paths, OPTIONS, "cpu")
    assert "snapshot cannot be used" not in capfd.readouterr().err
    plain = load_folder(model.folder, cache=paths.cache)
    assert same(resumed, plain)
    assert (resumed.digest, resumed.memory.mode) == (plain.digest, plain.memory.mode)


def test_what_is_held_needs_its_files_no_more(model, paths, tmp_path):
    copy = load_model(small_emoji(tmp_path / "emoji"))
    held = hold_model(copy, paths, OPTIONS, None)
    for path in copy.folder.rglob("*.safetensors"):
        path.write_bytes(bytes(path.stat().st_size))  # in place: a view of the file would see it
    check_samples(held.loaded, held.samples)
    assert same(resume_model(held, copy, paths, OPTIONS, "cpu"), load_folder(model.folder, cache=paths.cache))


def to_meta(held: Held) -> None:
    held.loaded.modules["transformer"].to("meta")


def zeros(held: Held) -> None:
    tensors(held.loaded)[-1].data.zero_()


def lost_end(held: Held) -> None:
    tensors(held.loaded)[0].data.view(-1)[-1] += 1


def lost_middle(held: Held) -> None:
    weight = max(held.loaded.modules["vae"].parameters(), key=torch.Tensor.numel)
    weight.data.view(-1)[SAMPLE_BYTES:-SAMPLE_BYTES] = float("nan")


def no_vae(held: Held) -> None:
    held.loaded.modules["vae"].to("meta")


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (to_meta, "Cannot copy out of meta tensor"),
        (no_vae, "Cannot copy out of meta tensor"),
        (zeros, "weights in memory are not what they were"),
        (lost_end, "weights in memory are not what they were"),
        (lost_middle, "cpu computes wrong numbers"),
    ],
)
def test_a_restore_that_failed_falls_back_to_the_files(model, paths, capfd, device, spoil, why):
    held = hold_model(model, paths, OPTIONS, device)
    spoil(held)
    resumed = resume_model(held, model, paths, OPTIONS, "cpu")
    line = next(line for line in capfd.readouterr().err.splitlines() if "snapshot cannot be used" in line)
    assert why in line
    assert line.endswith("loading the model from its files")
    assert same(resumed, load_folder(model.folder, cache=paths.cache))


def test_a_device_that_is_not_there_after_the_restore_is_no_model_on_another(model, paths, capfd):
    """Neither the snapshot nor the files: the start fails, and Modal replaces the container."""
    held = hold_model(model, paths, OPTIONS, None)
    with pytest.raises((RuntimeError, AssertionError), match="XPU"):  # torch's wheels have none
        resume_model(held, model, paths, OPTIONS, "xpu")
    assert "snapshot cannot be used" in capfd.readouterr().err


def test_what_cannot_be_used_is_freed_before_the_files_are_loaded(model, paths, monkeypatch):
    holder = [hold_model(model, paths, OPTIONS, None)]
    spoilt = weakref.ref(holder[0].loaded.modules["transformer"])
    zeros(holder[0])
    load, there = loader.load_components, []

    def load_components(*arguments):
        gc.collect()
        there.append(spoilt() is not None)
        return load(*arguments)

    monkeypatch.setattr(loader, "load_components", load_components)
    resume_model(holder.pop(), model, paths, OPTIONS, "cpu")
    assert there == [False]


def test_samples_see_both_ends_of_every_parameter(model, paths):
    components = load_folder(model.folder, cache=paths.cache)
    samples = take_samples(components)
    for parameter in tensors(components):
        for place in (0, -1):
            flat = parameter.data.view(-1)
            kept = flat[place].clone()
            flat[place] = kept + 1
            with pytest.raises(NotRestoredError):
                check_samples(components, samples)
            flat[place] = kept
    check_samples(components, samples)


def test_a_device_that_computes_nonsense_is_noticed(model, paths):
    components = load_folder(model.folder, cache=paths.cache)
    check_work(components)
    max(components.modules["vae"].parameters(), key=torch.Tensor.numel).data.fill_(float("nan"))
    with pytest.raises(NotRestoredError, match="computes wrong numbers"):
        check_work(components)


@pytest.mark.slow
def test_the_driver_is_not_asked_for_a_gpu_before_the_snapshot(tmp_path):
    """Importing diffusers asks by itself. Asked where Modal hides the GPU, the driver finds none for ever."""
    program = f"""
import json, sys
import torch
asked = []
count = torch._C._cuda_getDeviceCount
torch._C._cuda_getDeviceCount = lambda *a: asked.append(1) or count(*a)
from pathlib import Path
from easel.inference.options import Options
from easel.inference.restore import hold_model, resume_model
from easel.models import load_model
from easel.weights.store import WeightPaths
model, paths = load_model(Path({str(REPOSITORY / "weights/emoji")!r})), WeightPaths(Path({str(tmp_path)!r}), None)
held = hold_model(model, paths, Options(), None)
print(json.dumps([len(asked), "diffusers" in sys.modules, torch.cuda.is_available(), len(asked)]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    asked, loaded, _, later = json.loads(done.stdout)
    assert (asked, loaded) == (0, True)
    assert later == 1  # the count works
