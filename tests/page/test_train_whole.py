"""A real training through the page to its end, by Easel's own trainer of the small model; and its result, tried."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from easel.local.server import run_server
from tests.page.conftest import run_page
from tests.page.steps import fill, run, shown_width
from tests.support.api_process import run_api, wait_for_version
from tests.support.small_emoji import small_repository

pytestmark = pytest.mark.slow
ENDS_MS = 120_000


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = small_repository(tmp_path_factory.mktemp("root"))
    settings = root / "weights/emoji/model.yaml"
    values = yaml.safe_load(settings.read_text()) | {"num_inference_steps": 1, "guidance_scale": 0, "native_area": 4096}
    values["training"]["preserve"] = []
    settings.write_text(yaml.safe_dump(values))
    folder = tmp_path_factory.mktemp("api")
    environ = {"EASEL_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with (
        run_server(root, timeout=120, environ=environ) as cog,
        run_api(folder, [cog.url], environ, root=root, rate_limit=0) as api,
    ):
        wait_for_version(api)
        with run_page(api.url, api.token) as url:
            yield url


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(3):
            data = io.BytesIO()
            Image.effect_noise((64, 64), 40 + k).convert("RGB").save(data, "PNG")
            archive.writestr(f"{k}.png", data.getvalue())
    return path


def test_images_become_a_version_that_draws(visit: Callable[..., Any], site: str, images: Path) -> None:
    page = visit(f"{site}/easel/emoji/train")
    page.set_input_files("#train input[multiple]", images)
    expect(page.locator(".check-images li")).to_have_count(3)
    page.click("text=How it trains")
    fill(page, destination="easel/mine", steps=100, batch_size=1, resolution=64, lora_rank=2, seed=1)
    page.click("#start")
    shown = page.locator(".validation-images li")
    expect(shown.first).to_have_text("Step 0 of 100", timeout=ENDS_MS)
    expect(page.locator("#training-state")).to_have_text("Training")  # they come while it runs
    expect(page.locator("#training-state")).to_have_text("Done", timeout=ENDS_MS)
    expect(shown).to_have_text([f"Step {step} of 100" for step in range(0, 101, 10)])
    assert shown_width(page, ".validation-images li:last-child img") == 64
    page.click("#try")
    page.wait_for_url(re.compile("/easel/mine/versions/"))
    page.wait_for_selector("body[data-ready]")
    expect(page.locator("#input-prompt")).to_have_value("TOK")
    run(page)
    assert shown_width(page, "#images img") == 64
