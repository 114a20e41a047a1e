"""Fixtures that the tests here share."""

import pytest

from tests.unit.manifest.common import TENSORS


@pytest.fixture
def folder(tmp_path):
    for name, data in {
        "model.yaml": b"name: tiny",
        "README.md": b"# Tiny",
        "model_index.json": b"{}",
        "transformer/config.json": b'{"width": 8}',
        "transformer/model.safetensors": TENSORS,
        "tokenizer/merges.txt": b"",
    }.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "tiny"
