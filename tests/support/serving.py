"""A Cog server of an emoji model, with the folders of one test run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from easel.local.server import Server, run_server

REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def serving(folder: Path, root: Path = REPOSITORY, train: bool = False, **environment: str) -> Iterator[Server]:
    """`root` is the repository; `folder` will hold `tmp` and `cache`. `train`: a server of its trainer."""
    (folder / "tmp").mkdir()
    places = {"TMPDIR": str(folder / "tmp"), "EASEL_CACHE_DIR": str(folder / "cache")}
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (places | environment).items():
                patch.setenv(name, value)
            server = stack.enter_context(run_server(root, timeout=120, train=train))
        yield server
