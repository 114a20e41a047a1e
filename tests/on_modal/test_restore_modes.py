"""The start in two steps in every mode of memory, on the tiny Z-Image-Turbo, and with a safety checker."""

import io
from pathlib import Path

import pytest

from easel.inference.options import Options
from easel.inference.pipeline import Timings, run_plan
from easel.inference.restore import hold_model, resume_model
from easel.models import load_model
from easel.plan import plan_request
from easel.request import Request
from easel.weights.store import WeightPaths
from tests.support.loading import load_folder
from tests.support.safety_checker import checked_model
from tests.support.serving import REPOSITORY
from tests.support.tiny_z_image import MODEL, tiny_z_image_model

SMALL = {"prompt": "a red apple", "seed": 3, "width": 64, "height": 96, "num_inference_steps": 2}


def draw(components) -> list[bytes]:
    plan = plan_request(Request(**SMALL), components.model)
    return [image.tobytes() for image in run_plan(plan, components, Timings(), log=io.StringIO())]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("modes")
    tiny_z_image_model(root)
    return root


@pytest.mark.parametrize("mode", ["resident", "turns", "float8"])
def test_it_draws_the_image_of_a_plain_start(root, mode, capfd):
    model, options = load_model(root / "weights" / MODEL.name), Options(memory=mode)
    paths = WeightPaths(root / "cache", root / "checkpoint")
    resumed = resume_model(hold_model(model, paths, options, None), model, paths, options, "cpu")
    assert "snapshot cannot be used" not in capfd.readouterr().err
    assert resumed.memory.mode == mode
    assert draw(resumed) == draw(load_folder(model.folder, cache=paths.cache, mounted=paths.mounted, options=options))


def test_the_safety_checker_is_held_and_checked_as_well(tmp_path, capfd):
    model = load_model(checked_model(tmp_path, REPOSITORY / "weights/emoji"))
    paths = WeightPaths(tmp_path / "cache", None)
    held = hold_model(model, paths, Options(), None)
    for path in (model.folder / "safety_checker").glob("*.safetensors"):
        path.chmod(0o600)
        path.write_bytes(bytes(path.stat().st_size))  # in place: a view of the file would see it
    resumed = resume_model(held, model, paths, Options(), "cpu")
    assert "snapshot cannot be used" not in capfd.readouterr().err
    assert resumed.safety_checker is held.loaded.safety_checker is not None
    next(iter(resumed.safety_checker.classifier.parameters())).data.add_(1)
    with pytest.raises(Exception, match="digest"):  # the fall-back finds the file that was overwritten above
        resume_model(held, model, paths, Options(), "cpu")
    assert "weights in memory are not what they were" in capfd.readouterr().err
