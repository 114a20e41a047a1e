"""Fixtures that the tests here share."""

import io

import pytest

from easel.progress import ByteBar
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from tests.support.model_folders import local_model
from tests.unit.store.common import FILES


@pytest.fixture
def paths(tmp_path) -> WeightPaths:
    return WeightPaths(tmp_path / "cache", None)


@pytest.fixture
def model(tmp_path):
    return local_model(tmp_path, FILES)


@pytest.fixture
def get(paths, monkeypatch):
    """Obtains a model; `get.lines` is the log of the last time, `get.bar` what the bar wrote."""
    monkeypatch.setattr(ByteBar, "delay_s", 0.0)

    def get(model, paths=paths):
        get.lines, get.bar = [], io.StringIO()
        return ensure_snapshot(model, paths, log=get.lines.append, progress=get.bar)

    return get
