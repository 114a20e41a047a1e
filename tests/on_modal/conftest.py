"""modal_app.py as `modal deploy` imports it, for the emoji model, and its class loaded once by `.local()`."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.on_modal.common import import_app
from tests.support.serving import REPOSITORY


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of-the-modal-app")


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a container has of the repository, and nothing else."""
    root = tmp_path_factory.mktemp("root")
    image = import_app()
    for name in ("modal_app.py", *image.FILES):
        shutil.copyfile(REPOSITORY / name, root / name)
    for name in image.FOLDERS:
        (root / name).symlink_to(REPOSITORY / name)
    return root


@pytest.fixture(scope="session")
def app(root: Path, cache: Path) -> ModuleType:
    return import_app(root, EASEL_MODEL="emoji", EASEL_CACHE_DIR=str(cache))


@pytest.fixture(autouse=True)
def of_the_app(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the functions of the app read when they run."""
    monkeypatch.setenv("EASEL_CACHE_DIR", str(cache))


@pytest.fixture(scope="session")
def predict(app: ModuleType) -> Iterator[Callable[..., dict[str, Any]]]:
    """`Predictor().predict.local`, whose first call runs both hooks, as `.local()` does."""
    predictor = app.Predictor()

    def call(**inputs: object) -> dict[str, Any]:
        with pytest.warns(UserWarning, match="executing locally"):
            answered: dict[str, Any] = predictor.predict.local(**inputs)
        return answered

    yield call
    predictor.engine.outputs.root.cleanup()
