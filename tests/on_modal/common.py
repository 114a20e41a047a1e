"""What the tests of modal_app.py share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.serving import REPOSITORY

FROM_HERE = {"EASEL_MODEL", "EASEL_COMPILE", "EASEL_MODAL_GPU_SNAPSHOT", "EASEL_MEMORY", "EASEL_GO_FAST"}


def import_app(root: Path = REPOSITORY, **environ: str) -> ModuleType:
    """Return `root/modal_app.py` as a new module, imported with these variables."""
    spec = importlib.util.spec_from_file_location("modal_app", root / "modal_app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in FROM_HERE:
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        spec.loader.exec_module(module)
    return module
