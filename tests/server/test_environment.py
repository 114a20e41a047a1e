"""What a Cog server and its worker inherit: settings, and no secret of the programs that start them."""

from pathlib import Path

import psutil
import pytest

from easel.local.server import run_server
from tests.server.calls import answer_to

SECRETS = {
    "EASEL_API_TOKENS": "r8_of_the_api",
    "DATABASE_URL": "postgresql://easel:secret@127.0.0.1/easel",
    "REPLICATE_API_TOKEN": "r8_of_replicate",
}

RUNNER = '''
import os

from cog import BaseRunner, Input


class Runner(BaseRunner):
    def run(self, prompt: str = Input(description="Any.")) -> str:
        """All names and values of the environment."""
        return repr(dict(os.environ))
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "predict.py").write_text(RUNNER)
    return tmp_path


def test_neither_the_server_nor_its_worker_has_a_secret(root, monkeypatch):
    for name, value in (SECRETS | {"EASEL_COMPILE": "0"}).items():
        monkeypatch.setenv(name, value)
    with run_server(root, timeout=60) as server:
        process = psutil.Process(server.process.pid)
        family = [process, *process.children(recursive=True)]
        assert len(family) == 2
        texts = [repr(each.environ()) for each in family] + [answer_to(server, prompt="x")["output"]]
    for text in texts:
        assert "EASEL_COMPILE" in text
        for name, value in SECRETS.items():
            assert name not in text
            assert value not in text
