"""One Cog server with a quick runner, one API in front of it, and the means to have others."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from easel.local.server import Server, run_server
from tests.support.api_process import Api, run_api, wait_for_version

RUNNER = Path(__file__).parent / "runner"
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="session")
def cog() -> Iterator[Server]:
    with run_server(RUNNER, timeout=60) as server:
        yield server


@pytest.fixture(scope="session")
def api(cog: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """As most use it, without limits of rate."""
    folder = tmp_path_factory.mktemp("api")
    with run_api(folder, [f"test/model={cog.url}"], rate_limit=0, allow_private_webhooks=True, allow_push=True) as api:
        wait_for_version(api, "test/model")
        yield api


@pytest.fixture(scope="session")
def introduced(cog: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API in front of the model of the repository that it shows, with a README and samples."""
    folder = tmp_path_factory.mktemp("introduced")
    root = folder / "repository"
    root.mkdir()
    shutil.copy(RUNNER / ".cog/openapi_schema.json", root / "openapi.json")
    (root / "README.md").write_text("# Easel\n")
    (root / "samples").symlink_to(Path(__file__).resolve().parents[2] / "samples")
    servers = [f"test/model={cog.url}", f"another/name={cog.url}"]
    with run_api(folder / "data", servers, rate_limit=0, root=root) as api:
        for name in ("another/name", "test/model"):
            wait_for_version(api, name)
        yield api


@pytest.fixture
def new_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """An API of the test's own."""
    opened = []

    def open_one(
        *urls: str, environment: dict[str, str] | None = None, tokens: dict[str, str] | None = None, **options: object
    ) -> Api:
        environment = environment or {}
        if tokens:
            environment["EASEL_API_TOKENS"] = ",".join(f"{token} {account}" for token, account in tokens.items())
        context = run_api(tmp_path / "api", [f"test/model={url}" for url in urls], environment, **options)
        api = context.__enter__()
        api.token = next(iter(tokens or {api.token: ""}))
        opened.append(context)
        wait_for_version(api, "test/model")
        return api

    yield open_one
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a database on a server of our own, from Debian's postgresql, which refuses to run as root."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql): DATABASE_URL was not tried with one")
    # Not in pytest's own folder: each further run of pytest closes that to other users, such as Postgres'.
    folder = Path(tempfile.mkdtemp(prefix="easel-postgres-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv to become another user")
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        shutil.chown(folder, 65534, 65534)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    subprocess.run(
        [*as_user, POSTGRES[-1] / "initdb", "-D", data, "-U", "easel", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
    )
    command = [POSTGRES[-1] / "postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*as_user, *command], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 120
        while b"ready to accept" not in (folder / "log").read_bytes():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"postgresql://easel@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def second_cog(port: int = 0) -> Iterator[Server]:
    with run_server(RUNNER, port, timeout=60) as server:
        yield server
