"""A model that writes text, beside emoji: a Cog server of its own, the real API, and programs that run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from easel.local.server import Server
from tests.api.odd_cog import run_odd_cog
from tests.page.conftest import run_page
from tests.page.fake_api import TEXT_OUTPUT, schema
from tests.page.steps import fill, program
from tests.support.api_process import Api, run_api, wait_for_version

NODE_MODULES = Path(__file__).resolve().parents[1] / "clients" / "node_modules"
TEXT = 'it\'s one "text" in $parts'


@pytest.fixture(scope="module")
def api(browser: Any, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("of-two-models")
    with run_odd_cog() as writer:
        inputs = {"text": {"type": "string"}, "seconds": {"type": "number", "default": 0}}
        writer.schema = json.dumps(schema(TEXT_OUTPUT, ("text",), **inputs)).encode()
        parts = [word if k == 0 else f" {word}" for k, word in enumerate(TEXT.split(" "))]
        writer.news = [json.dumps({"status": "succeeded", "output": parts, "logs": "", "metrics": {}}).encode()]
        with run_api(folder, [server.url, f"test/writer={writer.url}"], rate_limit=0) as api:
            wait_for_version(api)
            wait_for_version(api, "test/writer")
            yield api


@pytest.fixture(scope="module")
def address(api: Api) -> Iterator[str]:
    with run_page(api.url, api.token) as url:
        yield url


@pytest.fixture
def page(visit: Callable[..., Any], address: str) -> Any:
    return visit(f"{address}/test/writer")


def test_the_writer_has_its_own_form_and_nothing_of_emoji(page: Any, visit: Callable[..., Any], address: str) -> None:
    assert page.locator(".field .name").all_text_contents() == ["text", "seconds"]
    expect(page.locator("#examples")).to_be_hidden()
    page.click("#tab-readme")
    expect(page.locator("#panel-readme")).to_have_text("This model has no README.")
    emoji = visit(address)
    expect(emoji.locator(".card")).to_have_count(8)
    emoji.click("#tab-readme")
    expect(emoji.locator("#panel-readme h2").first).to_contain_text("Emoji")


def test_it_writes_one_text(page: Any) -> None:
    fill(page, text=TEXT)
    page.click("#run")
    expect(page.locator("#state")).to_contain_text("Done")
    expect(page.locator("#images .text")).to_have_text(TEXT)
    page.reload()
    expect(page.locator("#images .text")).to_have_text(TEXT)
    expect(page.locator("#input-text")).to_have_value(TEXT)


@pytest.mark.parametrize("way", ["", "Polling"])
@pytest.mark.parametrize(
    ("language", "command"),
    [("python", [sys.executable, "-I"]), ("javascript", ["node"]), ("curl", ["sh", "-e"])],
)
def test_a_program_gets_the_same_text(
    page: Any, api: Api, tmp_path: Path, language: str, command: list[str], way: str
) -> None:
    if language == "javascript" and not (shutil.which("node") and NODE_MODULES.is_dir()):
        pytest.skip("node or Replicate's client for it is missing: the program in JavaScript was not run")
    if language == "curl" and not shutil.which("curl"):
        pytest.skip("curl is not installed: the program for it was not run")
    fill(page, text=TEXT)
    text = program(page, language)
    if way:
        text = page.locator(f"#panel-{language} details", has_text=way).locator("code").text_content()
    file = tmp_path / {"python": "easel.py", "javascript": "easel.mjs", "curl": "easel.sh"}[language]
    file.write_text(text, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    environment = os.environ | {"REPLICATE_BASE_URL": api.url, "REPLICATE_API_TOKEN": api.token}
    done = subprocess.run([*command, file.name], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if way:
        assert "succeeded" in done.stdout
        assert "$parts" in done.stdout
    else:
        assert done.stdout.strip() == TEXT
