"""The page as users have it: a Cog server of emoji, `easel api` over it, `easel page` over that, and Chromium."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from easel.local.server import Server
from tests.support.api_process import Api, run_api, wait_for_version

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ENDS_S = 20


@contextmanager
def run_page(api: str, token: str, *options: str) -> Iterator[str]:
    """A real `easel page` on a free port: its address."""
    command = [sys.executable, "-m", "easel.cli", "page", "--port", "0", *options]
    environment = os.environ | {"REPLICATE_BASE_URL": api, "REPLICATE_API_TOKEN": token}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        yield url
    finally:
        process.terminate()
        process.wait(ENDS_S)
        process.stdout.close()


@pytest.fixture(scope="module")
def api(browser: Any, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """After the browser, without which there is nothing to start all this for."""
    with run_api(tmp_path_factory.mktemp("of-the-pages-api"), [server.url], rate_limit=0) as api:
        wait_for_version(api)
        yield api


@pytest.fixture(scope="module")
def address(api: Api) -> Iterator[str]:
    with run_page(api.url, api.token) as url:
        yield url


@pytest.fixture(scope="module")
def lone_page() -> Iterator[str]:
    """The page without an API, for what needs none."""
    with run_page("http://127.0.0.1:9", "token") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For one module, not for the session: while it is open, no other test could use asyncio."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed (Debian: chromium): the page was not tried in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no test of the page")
    with playwright.sync_playwright() as opened:
        browser = opened.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a profile of its own, and fails the test when the page reports an error."""
    contexts, errors = [], []

    def told(message: Any) -> None:
        # Chromium itself reports each answer of 400 and more, which the page shows as a sentence.
        if message.type in ("error", "warning") and "status of" not in message.text:
            errors.append(message.text)

    def open_page(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", told)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(visit: Callable[..., Any], address: str) -> Any:
    return visit(address)


@pytest.fixture(scope="session")
def samples() -> Path:
    return Path(__file__).resolve().parents[2] / "samples"
