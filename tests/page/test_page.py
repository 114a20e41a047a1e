"""The page in Chromium: from a prompt to an image and everything on the way, with pointer and with keyboard."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.steps import download, error_at, fill, focused, picture, program, run, shown_width, tab_to
from tests.support.api_process import ask

NODE_MODULES = Path(__file__).resolve().parents[1] / "clients" / "node_modules"
# All that has a meaning in a string of one of the three languages, or in a shell.
HARD = 'it\'s a "red" apple \\ $HOME `pwd` ${x} %s {y}\n# 🍎 </script>'


def test_from_prompt_to_picture(page):
    fill(page, prompt="a red apple", seed=7, num_outputs=2)
    page.click("#run")
    expect(page.locator("#progress[value]")).to_be_visible()
    expect(page.locator("#log-text")).to_contain_text("it/s")
    expect(page.locator("#time")).to_contain_text(" s")
    expect(page.locator("#state")).to_contain_text("Done: 2 files")
    assert page.locator("#log-text").text_content().startswith("seed: 7, 8\n")
    figures = page.locator("#images figure")
    expect(figures).to_have_count(2)
    assert shown_width(page, "#images img >> nth=1") == 128
    expect(figures.nth(1)).to_contain_text("seed 8")
    image = picture(download(page, figures.nth(1).get_by_label("Download")))
    assert (image.format or "WEBP", image.size) == ("WEBP", (128, 128))
    page.click("#parameters summary")
    assert page.locator("#parameter-list dd").all_text_contents()[:3] == ["a red apple", "2", "7"]
    figures.nth(0).get_by_text("Use as input").click()
    assert shown_width(page, "[data-name=image] .preview") == 128
    fill(page, prompt="a green apple", prompt_strength=0.5, num_inference_steps=2)
    run(page)


def test_the_form_is_what_the_schema_says(page):
    schema = json.loads((Path(__file__).resolve().parents[2] / "openapi.json").read_text(encoding="utf-8"))
    properties = schema["components"]["schemas"]["Input"]["properties"]
    names = sorted(properties, key=lambda name: properties[name]["x-order"])
    titles = page.locator(".group-title").all_text_contents()
    assert titles == ["What to draw", "From an image", "Size", "Sampling", "LoRA", "Files"]
    groups = [page.locator(".group").nth(k).locator(".name").all_text_contents() for k in range(len(titles))]
    assert groups[:3] == [
        ["prompt", "negative_prompt", "num_outputs"],
        ["image", "mask", "prompt_strength"],
        ["aspect_ratio", "width", "height"],
    ]
    assert all(group == sorted(group, key=names.index) for group in groups)
    names = sorted(names, key=lambda name: [name in group for group in groups].index(True))
    assert page.locator(".field .name").all_text_contents() == names
    assert page.locator(".field .hint").all_text_contents() == [properties[name]["description"] for name in names]
    kinds = {
        "prompt": "textarea",
        "image": "button",
        "aspect_ratio": "select",
        "num_outputs": "input[type=text]",
        "output_format": "input[type=radio]",
        "go_fast": "input[type=checkbox]",
        "hf_token": "input[type=password]",
    }
    for name, kind in kinds.items():
        assert page.locator(f"{kind}#input-{name}").count() == 1, name
    assert page.locator("#input-num_outputs-limits").text_content() == "1 to 4 · default 1"
    expect(page.locator("[data-name=num_outputs] input[type=range]")).to_have_value("1")
    page.get_by_label("Draw a seed").click()
    assert 0 <= int(page.input_value("#input-seed")) < 2**32
    page.click("#reset")
    expect(page.locator("#input-seed")).to_have_value("")


def test_errors_are_at_their_fields(page):
    fill(page, seed=-1, width="wide")
    page.click("#run")
    assert error_at(page, "prompt") == "Prompt is required"
    assert error_at(page, "width") == "Must be an integer, not 'wide'"
    assert error_at(page, "seed") == "Must be greater than or equal to 0"
    expect(page.locator("#alert")).to_have_text("See prompt and width and seed in the form.")
    assert focused(page) == "input-prompt"
    fill(page, prompt="a dog", seed="", width=128)  # What only the model can know fails the prediction.
    expect(page.locator("#input-seed[aria-invalid]")).to_have_count(0)
    page.click("#run")
    assert error_at(page, "width").startswith("width is given without height")
    expect(page.locator("#alert")).to_contain_text("width is given without height")
    assert focused(page) == "input-width"


def draw(page, lines):
    box = page.locator("dialog canvas").bounding_box()
    for down in lines:
        page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + down * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + down * box["height"], steps=4)
        page.mouse.up()


def test_a_mask_is_drawn_on_the_image(page, samples):
    expect(page.get_by_text("Draw it on the image")).to_be_disabled()
    page.set_input_files("[data-name=image] input[type=file]", samples / "inputs" / "house.png")
    page.click("text=Draw it on the image")
    draw(page, [0.1, 0.2, 0.3, 0.8])
    page.click("dialog >> text=Undo")
    page.click("text=Use this mask")
    mask = picture(download(page, page.get_by_label("Save the mask"))).convert("L")
    assert mask.size == (128, 128)
    assert {value for _, value in mask.getcolors()} == {0, 255}
    assert (mask.getpixel((64, 13)), mask.getpixel((64, 102))) == (255, 0)
    fill(page, prompt="mushroom", prompt_strength=1, seed=7, num_inference_steps=2)
    page.locator("label:has-text('png')").click()
    run(page)
    made = picture(download(page, page.get_by_role("link", name="Download"))).convert("RGB")
    house = picture((samples / "inputs" / "house.png").read_bytes()).convert("RGB")
    below = (0, 64, 128, 128)
    assert made.crop(below).tobytes() == house.crop(below).tobytes()
    assert made.crop((20, 10, 108, 40)).tobytes() != house.crop((20, 10, 108, 40)).tobytes()


def test_a_run_is_canceled(page, api):
    fill(page, prompt="a dog", num_outputs=4, num_inference_steps=50)
    page.click("#run")
    expect(page.locator("#progress[value]")).to_be_visible()
    page.click("#cancel")
    expect(page.locator("#state")).to_have_text("Canceled")
    expect(page.locator("#cancel")).to_be_hidden()
    expect(page.locator("#images figure")).to_have_count(0)
    assert ask(api, "GET", "/v1/predictions")[1]["results"][0]["status"] == "canceled"


@pytest.fixture(scope="module")
def programs(browser, address, samples):
    """The three programs of one form, which has a file and a hard prompt, and the image that the page itself got."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.set_input_files("[data-name=image] input[type=file]", samples / "inputs" / "house.png")
    fill(page, prompt=HARD, negative_prompt="", seed=3, num_inference_steps=4)
    page.check("#input-go_fast")
    run(page)
    content = download(page, page.get_by_role("link", name="Download"))
    texts = {language: program(page, language) for language in ("python", "javascript", "curl")}
    context.close()
    return texts, content


@pytest.mark.parametrize(
    ("language", "command"),
    [("python", [sys.executable, "-I"]), ("javascript", ["node"]), ("curl", ["sh", "-e"])],
)
def test_a_program_makes_the_same_picture(programs, language, command, api, samples, tmp_path):
    if language == "javascript" and not (shutil.which("node") and NODE_MODULES.is_dir()):
        pytest.skip("node or Replicate's client for it is missing: the program in JavaScript was not run")
    if language == "curl" and not shutil.which("curl"):
        pytest.skip("curl is not installed: the program for it was not run")
    texts, content = programs
    file = tmp_path / {"python": "easel.py", "javascript": "easel.mjs", "curl": "easel.sh"}[language]
    file.write_text(texts[language], encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    for path in ("inputs/house.png", "loras/blue-ink.safetensors"):
        shutil.copy(samples / path, tmp_path)
    environment = os.environ | {"REPLICATE_BASE_URL": api.url, "REPLICATE_API_TOKEN": api.token}
    done = subprocess.run([*command, file.name], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = picture((tmp_path / "output.0.webp").read_bytes())
    assert made.tobytes() == picture(content).tobytes()


def test_secrets_are_hidden_and_in_no_program(page):
    fill(page, prompt="a dog", hf_token="hf_very_secret")
    for language, variable in (
        ("python", 'os.environ["HF_TOKEN"]'),
        ("javascript", "process.env.HF_TOKEN"),
        ("curl", "$HF_TOKEN"),
    ):
        text = program(page, language)
        assert variable in text
        assert "hf_very_secret" not in text


def test_by_keyboard_alone(page, samples):
    page.set_input_files("[data-name=image] input[type=file]", samples / "inputs" / "house.png")  # the system's dialog
    tab_to(page, "input-prompt")
    page.keyboard.type("mushroom")
    page.keyboard.press("Tab")
    for _ in range(10):
        if page.evaluate("document.activeElement.textContent") == "Draw it on the image":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("dialog canvas")).to_be_focused()
    for key in ("ArrowUp", "ArrowUp", "Space", "Shift+ArrowRight", "+"):
        page.keyboard.press(key)
    expect(page.locator("dialog [role=status]")).to_contain_text("% is painted")
    while page.evaluate("document.activeElement.textContent") != "Use this mask":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[data-name=mask] .caption")).to_contain_text("mask.png")
    tab_to(page, "input-num_inference_steps")
    page.keyboard.type("3")
    page.keyboard.press("ArrowUp")
    tab_to(page, "run")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("Done")
    assert page.locator("#log-text").text_content().count("/4 [") == 1  # the mask's strength of 0.8 rounds up
    assert focused(page) == "run"
    tab_to(page, "tab-output")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-api")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#panel-readme h2").first).to_be_visible()
    assert focused(page) == "tab-readme"


def test_an_example_fills_the_form(page):
    page.locator(".card", has_text="lora_weights").click()
    expect(page.locator("#input-prompt")).to_have_value("rocket")
    expect(page.locator("[data-name=lora_weights] input[type=text]")).to_have_value("blue-ink.safetensors (173 kB)")
    assert shown_width(page, "#images img") == 128
    run(page)
    page.click("#reset")
    expect(page.locator("#input-prompt")).to_have_value("")
    expect(page.locator("[data-name=lora_weights] .rows > *")).to_have_count(0)
    expect(page.locator("#images figure")).to_have_count(0)
