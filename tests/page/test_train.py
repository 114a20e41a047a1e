"""The Train tab, with a real `easel api` and a trainer that only pretends to train."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from easel.local.server import run_server
from tests.api.training_calls import ROOT
from tests.page.conftest import run_page
from tests.page.fake_api import FILES_OUTPUT, run_fake_api, schema
from tests.page.steps import error_at, fill, focused, shown_width, tab_to
from tests.support.api_process import Api, ask, run_api, wait_for_version

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with run_server(ROOT, timeout=60) as cog:
        options = {"rate_limit": 0, "root": ROOT}
        folder = tmp_path_factory.mktemp("api")
        with run_api(folder, [f"test/model={cog.url}"], {"EASEL_MODEL": "model"}, **options) as api:
            wait_for_version(api, "test/model")
            yield api


@pytest.fixture(scope="module")
def site(api: Api) -> Iterator[str]:
    with run_page(api.url, api.token, "--model", "test/model") as url:
        yield url


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my-images")
    for k in range(4):
        Image.effect_noise((300, 200), 60 + k).convert("RGB").save(folder / f"häuser {k}.png")
    (folder / "häuser 0.txt").write_text("TOK by the sea", encoding="utf-8")
    (folder / "notes.pdf").write_bytes(b"%PDF-1.4 no image")
    (folder / ".DS_Store").write_bytes(b"macOS")
    return folder


def choose(page: Any, images: Path) -> None:
    page.set_input_files("#train input[webkitdirectory]", images)


def drop(page: Any, path: Path) -> None:
    """As a file manager does it: with a file or a folder of this machine."""
    box = page.locator("#train .drop").bounding_box()
    point = {"x": box["x"] + 20, "y": box["y"] + 20}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **point, "data": data})
    session.detach()


def check_images(page: Any, prompt: str, steps: int) -> None:
    """The row of validation images, which the trainer tells of while it runs."""
    row = page.locator(".validation-images li")
    expect(row).to_have_text([f"Step {step} of {steps}" for step in range(3)])
    for step in range(3):
        image = row.nth(step).locator("img")
        expect(image).to_have_attribute("alt", f"“{prompt}” at step {step}")
        assert shown_width(page, f".validation-images li:nth-child({step + 1}) img") == 64


def test_a_folder_becomes_a_version_that_can_be_tried(
    visit: Callable[..., Any], site: str, api: Api, images: Path
) -> None:
    page = visit(site)
    page.click("#train-link")
    page.wait_for_selector("body[data-ready]")
    drop(page, images)
    expect(page.locator(".check-status")).to_contain_text("4 images in 1 bucket, 1 file left out")
    expect(page.locator(".check-images li")).to_have_count(4)
    expect(page.locator(".check-images")).to_contain_text("TOK by the sea")
    expect(page.locator(".check-faults")).to_contain_text("notes.pdf")
    page.evaluate("document.querySelector('.check-images img').decode()")
    expect(page.locator("#input-destination")).to_have_value("easel/my-model")
    fill(page, destination="test/teapot", trigger_word="TEA & POT", steps=12)
    page.click("#start")
    expect(page.locator("#training-state")).to_have_text("Done")
    expect(page.locator(".chart")).to_have_attribute("aria-label", "Loss 0.0833 at step 11 of 12; 1.00 at step 0.")
    check_images(page, "TEA & POT", 12)
    identity = page.url.rpartition("/")[2]
    training = ask(api, "GET", f"/v1/trainings/{identity}")[1]
    assert training["input"]["steps"] == 12
    page.reload()  # the address of the training
    expect(page.locator("#training-state")).to_have_text("Done")
    expect(page.locator("#input-steps")).to_have_value("12")
    check_images(page, "TEA & POT", 12)
    with page.expect_download() as download:
        page.click("text=Download the weights")
    weights = Path(download.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(weights[weights.index(b"PK") :])) as packed:
        assert packed.testzip() is None
        assert packed.read(f"{images.name}/häuser 0.png") == (images / "häuser 0.png").read_bytes()
        assert sorted(Path(name).name for name in packed.namelist()) == sorted(
            path.name for path in images.iterdir() if not path.name.startswith(".")
        )
    page.click("#try")
    page.wait_for_url(f"{site}/test/teapot/versions/*")
    page.wait_for_selector("body[data-ready]")
    expect(page.locator("#input-prompt")).to_have_value("TEA & POT")
    expect(page.locator("#train-link")).to_be_hidden()  # what was trained is not trained further
    page.click("#run")
    expect(page.locator("#state")).to_contain_text("Done")
    with page.expect_download() as download:
        page.click("#images a[download]")
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines == ["TEA & POT", hashlib.sha256(weights).hexdigest()]  # the prompt, and the LoRA that was given


def test_errors_are_where_they_arise(visit: Callable[..., Any], site: str, images: Path, tmp_path: Path) -> None:
    page = visit(f"{site}/test/model/train")
    tab_to(page, "start")
    page.keyboard.press("Enter")
    assert error_at(page, "input_images") == "Choose the images first."
    assert focused(page) == "input-input_images"
    page.set_input_files("#train input[multiple]", [images / "häuser 0.png", images / "häuser 1.png"])
    expect(page.locator("#input-input_images-error")).to_contain_text("3")
    (tmp_path / "a.zip").write_bytes(b"PK")
    page.set_input_files("#train input[multiple]", [tmp_path / "a.zip", images / "häuser 1.png"])
    expect(page.locator(".archive [role=alert]")).to_contain_text("a.zip is an archive beside other files")
    choose(page, images)
    expect(page.locator(".check-images li")).to_have_count(4)
    fill(page, trigger_word="x" * 60)
    expect(page.locator("#input-trigger_word-error")).to_contain_text("trigger_word must be 1 to 50 characters")
    fill(page, trigger_word="TOK", destination="test/model", steps=2)
    expect(page.locator(".check-images li")).to_have_count(4)
    page.click("#start")
    expect(page.locator("#training [role=alert]")).to_have_text("See destination in the form.")
    expect(page.locator("#input-destination-error")).to_contain_text("test/model has the versions of its Cog servers")
    fill(page, destination="no-name")
    page.click("#start")
    expect(page.locator("#input-destination-error")).to_be_visible()
    fill(page, destination="test/mine", steps="many")
    page.click("#start")
    expect(page.locator("#input-steps-error")).to_contain_text("integer")
    assert page.url.endswith("/train")


def test_a_failed_and_a_canceled_training_say_so(visit: Callable[..., Any], site: str, images: Path) -> None:
    page = visit(f"{site}/test/model/train", 390, 844, color_scheme="dark")
    choose(page, images)
    fill(page, destination="test/ended", steps=9000)
    page.click("#start")
    expect(page.locator("#training progress[value]")).to_be_visible()
    check_images(page, "TOK", 9000)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.reload()
    page.click("#training-cancel")
    expect(page.locator("#training-state")).to_have_text("Canceled")
    expect(page.locator("#training-cancel")).to_be_hidden()
    choose(page, images)
    fill(page, destination="test/ended", steps=1)
    page.click("text=How it trains")
    page.click("[data-name=end] label:has-text('failed')")
    page.click("#start")
    expect(page.locator("#training [role=alert]")).to_have_text("input_images: it was told to fail")
    expect(page.locator("#training-state")).to_have_text("Failed")


def test_a_model_whose_version_has_no_trainer_has_no_tab(browser: Any, visit: Callable[..., Any]) -> None:
    with run_fake_api() as api:
        api.add_model("art/plain", schema(FILES_OUTPUT, ("prompt",), prompt={"type": "string"}))
        with run_page(api.url, "token", "--model", "art/plain") as url:
            page = visit(f"{url}/art/plain/train")
            expect(page.locator("#train")).to_be_hidden()
            expect(page.locator("#train-link")).to_be_hidden()
            expect(page.locator("#notice")).to_contain_text("cannot be trained")
            expect(page.locator("#input-prompt")).to_be_visible()
