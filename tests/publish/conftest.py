"""One server of emoji and one API for all tests that push."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from easel.local.server import Server
from tests.publish import standin_cog
from tests.publish.trees import make_tree
from tests.support.api_process import Api, ask, run_api, wait_for_version

HOST = "registry.test"
PATIENCE_S = 60


@dataclass
class Shop:
    """A tree, and where it is pushed to."""

    root: Path
    api: Api
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "easel.cli", "push", "--root", str(self.root), "-f", "cog.emoji.yaml", *arguments]

    def push(self, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        changed = {name: value for name, value in (self.environment | environment).items() if value is not None}
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env=changed, timeout=PATIENCE_S, check=False
        )

    def push_until(self, condition: Callable[[], object], signum: int, *arguments: str) -> int:
        """Begin a push, end it by a signal as soon as the condition holds, and return its exit code."""
        log = self.root / ".cache" / "broken-off.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                self.command(*arguments), stdout=file, stderr=file, env=self.environment, start_new_session=True
            )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not condition():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
            process.send_signal(signum)
            return process.wait(PATIENCE_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def cog_calls(self) -> list[list[str]]:
        path = Path(self.environment["STANDIN_COG_LOG"])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self) -> list[Path]:
        return [path for path in (self.root / ".cache" / "push").glob("*-*.json") if not path.name.startswith(".")]

    def make_model(self, name: str) -> None:
        body = {"owner": "acme", "name": name, "visibility": "private", "hardware": "cpu"}
        status, answer = ask(self.api, "POST", "/v1/models", body)
        assert status in (201, 409), answer

    def predictions(self) -> list[dict]:
        found, path = [], "/v1/predictions"
        while path:
            status, page = ask(self.api, "GET", path)
            assert status == 200, page
            found += page["results"]
            path = page["next"] and page["next"].removeprefix(self.api.url)
        return found


@pytest.fixture(scope="session")
def emoji_url(server: Server) -> str:
    return server.url


@pytest.fixture(scope="module")
def api(emoji_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with run_api(tmp_path_factory.mktemp("api"), [f"acme/emoji={emoji_url}"], allow_push=True) as api:
        wait_for_version(api, "acme/emoji")
        yield api


@pytest.fixture
def shop(tmp_path: Path, api: Api, emoji_url: str) -> Shop:
    programs = tmp_path / "programs"
    programs.mkdir()
    cog = programs / "cog"
    cog.write_text(f"#!{sys.executable}\n{Path(standin_cog.__file__).read_text()}")
    cog.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "REPLICATE_BASE_URL": api.url,
        "REPLICATE_API_TOKEN": api.token,
        "REPLICATE_POLL_INTERVAL": "0.02",
        "STANDIN_COG_LOG": str(tmp_path / "cog.log"),
        "STANDIN_COG_FAILS": str(tmp_path / "cog-fails"),
        "STANDIN_COG_WAITS": str(tmp_path / "cog-waits"),
        "STANDIN_COG_SERVER": emoji_url,
        "PYTHONWARNINGS": "error",
    }
    environment.pop("COGLET_WHEEL", None)
    return Shop(make_tree(tmp_path / "tree"), api, environment)
