"""modal_app.py as `modal deploy` imports it, for the emoji model, and its class loaded once by `.local()`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.on_modal.common import import_app


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of-the-modal-app")


@pytest.fixture(scope="session")
def app(cache: Path) -> ModuleType:
    return import_app(EASEL_MODEL="emoji", EASEL_CACHE_DIR=str(cache))


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
