"""Fixtures that the tests here share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from easel.cli import main as cli


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    for name in ("EASEL_MODEL", "EASEL_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EASEL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def easel(tmp_path, cache, capsys) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of a command."""

    def easel(*arguments: str) -> tuple[int, str, str]:
        args = cli.parse_args(["weights", *arguments, "--root", str(tmp_path)])
        code = args.run(args)
        return code, *capsys.readouterr()

    return easel
