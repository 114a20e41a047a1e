"""Data sets of a few small images, and the small emoji model loaded for a training."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw

from easel.inference.loader import Components
from easel.models import Model, load_model
from easel.training.settings import TrainingSettings, make_settings
from tests.support.loading import load_folder
from tests.support.small_emoji import small_emoji


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the emoji model with small layers and random numbers, which draws small images in two steps."""
    folder = small_emoji(tmp_path_factory.mktemp("small") / "emoji")
    settings = folder / "model.yaml"
    values = yaml.safe_load(settings.read_text()) | {"num_inference_steps": 2, "native_area": 4096}
    settings.write_text(yaml.safe_dump(values))
    return folder


@pytest.fixture(scope="session")
def quick_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that preserves nothing, whose steps take a third of the time."""
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("quick") / "emoji")
    values = yaml.safe_load((copy / "model.yaml").read_text())
    values["training"]["preserve"] = []
    (copy / "model.yaml").write_text(yaml.safe_dump(values))
    return copy


@pytest.fixture(scope="session")
def model(folder: Path) -> Model:
    return load_model(folder)


@pytest.fixture(scope="session")
def quick_model(quick_folder: Path) -> Model:
    return load_model(quick_folder)


@pytest.fixture
def components(folder: Path) -> Components:
    """Loaded anew for each test: a training changes its own."""
    return load_folder(folder)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of four images of two shapes, one with a caption."""
    path = tmp_path_factory.mktemp("images") / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k, size in enumerate([(128, 128), (128, 128), (96, 192), (128, 128)]):
            image = Image.new("RGB", size, "white")
            ImageDraw.Draw(image).ellipse((10 + 8 * k, 20, 90, 100), fill=("red", "blue", "green", "purple")[k])
            data = io.BytesIO()
            image.save(data, "PNG")
            archive.writestr(f"{k}.png", data.getvalue())
        archive.writestr("0.txt", "TOK on a table")
    return path


@pytest.fixture(scope="session")
def settings(model: Model, images: Path) -> TrainingSettings:
    inputs = {"steps": 100, "batch_size": 2, "resolution": "64", "lora_rank": 4, "seed": 7, "learning_rate": 1e-3}
    return make_settings({"input_images": images, **inputs}, model)
