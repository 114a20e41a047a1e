"""The page as users have it: a Cog server of emoji, `easel api` over it, `easel page` over that, and Chromium."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from easel.local.server import Server
from tests.support.api_process import Api, run_api, wait_for_version

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")  # the first takes less
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--process-per-site",  # A process for each page takes longer to start than most tests.
]
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
        pytest.skip("Chromium is not installed (Debian: chromium-headless-shell): the page was not tried in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no test of the page")
    with playwright.sync_playwright() as opened:
        browser = opened.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def new_tab(browser: Any) -> Callable[[str], Any]:
    """Opens an empty tab in the one profile of a module, for an address: the page stores nothing in a profile.

    A tab with the site's icon stays open, so that the process for the site does.
    """
    context, sites = browser.new_context(), set()

    def open_tab(url: str) -> Any:
        site = urlsplit(url)._replace(path="/static/icon.svg", query="", fragment="").geturl()
        if site not in sites:
            context.new_page().goto(site)
            sites.add(site)
        return context.new_page()

    return open_tab


@pytest.fixture
def visit(browser: Any, new_tab: Callable[[str], Any]) -> Iterator[Callable[..., Any]]:
    """Opens an address in a tab of its own, and fails the test when the page reports an error.

    With options, as `color_scheme="dark"`, it is in a profile of its own.
    """
    opened, errors = [], []

    def told(message: Any) -> None:
        # Chromium itself reports each answer of 400 and more, which the page shows as a sentence.
        if message.type in ("error", "warning") and "status of" not in message.text:
            errors.append(message.text)

    def open_page(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        page = browser.new_context(**options).new_page() if options else new_tab(url)
        opened.append(page.context if options else page)
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(20_000)
        page.on("console", told)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for one in opened:
        one.close()
    assert errors == []


@pytest.fixture
def page(visit: Callable[..., Any], address: str) -> Any:
    return visit(address)


@pytest.fixture(scope="session")
def samples() -> Path:
    return Path(__file__).resolve().parents[2] / "samples"
