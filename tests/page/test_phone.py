"""A phone of 390 pixels, and the groups into which the inputs of any model fall."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.conftest import run_page
from tests.page.fake_api import FILES_OUTPUT, TEXT_OUTPUT, FakeApi, run_fake_api, schema
from tests.page.steps import fill, focused, run, tab_to

PHONE = (390, 844)
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
FLUX = {
    "What to draw": ["prompt", "num_outputs"],
    "From an image": ["image", "prompt_strength", "control_image"],
    "Size": ["aspect_ratio", "megapixels", "width"],
    "Sampling": ["num_inference_steps", "guidance", "seed", "go_fast"],
    "LoRA": ["lora_scale", "replicate_weights", "hf_api_token"],
    "Files": ["output_format", "output_quality", "disable_safety_checker"],
    "More": ["quirk", "bananas"],
}
WRITER = {
    "Prompt": ["prompt", "system_prompt"],
    "Sampling": ["max_tokens", "temperature", "top_p", "top_k", "presence_penalty", "stop_sequences"],
    "More": ["verbose"],
}


def inputs(groups: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    return {name: TEXT if name == "prompt" else NUMBER for names in groups.values() for name in names}


@pytest.fixture(scope="module")
def fake(browser: Any) -> Iterator[FakeApi]:
    with run_fake_api() as api:
        api.add_model("art/flux", schema(FILES_OUTPUT, ("prompt",), **inputs(FLUX)), description="x" * 300)
        api.add_model("words/writer", schema(TEXT_OUTPUT, ("prompt",), **inputs(WRITER)))
        api.add_model("odd/one", schema(TEXT_OUTPUT, **{f"input_{k}": TEXT for k in range(12)}))
        api.add_model("no/inputs", schema(TEXT_OUTPUT))
        api.readmes["art/flux"] = f"# {'w' * 90}\n\n| {'a' * 60} | {'b' * 60} |\n|---|---|\n\n`{'c' * 90}`"
        error = f"quirk: must not be {'y' * 200}."
        api.add_prediction("failed", "art/flux", {"status": "failed", "error": error}, input={"prompt": "z" * 200})
        api.add_prediction("text", "words/writer", input={"prompt": "a"}, output=["v" * 400, " ", "w" * 400])
        yield api


@pytest.fixture(scope="module")
def site(fake: FakeApi) -> Iterator[str]:
    with run_page(fake.url, "token", "--model", "art/flux") as url:
        yield url


@pytest.mark.parametrize(("model", "groups"), [("art/flux", FLUX), ("words/writer", WRITER)])
def test_the_inputs_of_any_model_fall_into_groups(
    visit: Callable[..., Any], site: str, model: str, groups: dict[str, list[str]]
) -> None:
    page = visit(f"{site}/{model}")
    shown = page.locator(".group")
    found = [one.locator(".group-title").text_content() for one in shown.all()]
    names = [one.locator(".name").all_text_contents() for one in shown.all()]
    assert dict(zip(found, names, strict=True)) == groups


@pytest.mark.parametrize(("model", "count"), [("odd/one", 12), ("no/inputs", 0)])
def test_without_groups_there_is_nothing_to_fold(visit: Callable[..., Any], site: str, model: str, count: int) -> None:
    page = visit(f"{site}/{model}", *PHONE)
    expect(page.locator(".group")).to_have_count(0)
    expect(page.locator(".field")).to_have_count(count)


@pytest.mark.parametrize("path", ["/", "/models", "/p/failed", "/p/text", "/p/none", "/words/writer", "/no/one"])
def test_nothing_is_wider_than_the_phone(visit: Callable[..., Any], site: str, path: str) -> None:
    page = visit(site + path, *PHONE)
    tabs = page.locator("#result-tabs [role=tab]:visible, #form-tabs [role=tab]:visible")
    for tab in [None, *tabs.all()]:
        if tab:
            tab.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], tab
    if page.locator("#tab-form").is_visible():
        page.click("#tab-form")
        for group in page.locator(".group > summary").all():
            group.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_on_a_phone_image_and_run_come_before_the_form_also_for_the_keyboard(
    visit: Callable[..., Any], site: str
) -> None:
    page = visit(site, *PHONE)
    result, run, form = (page.locator(f"#{name}").bounding_box()["y"] for name in ("result", "run", "form"))
    assert result < run < form
    for identity in ("tab-output", "run", "tab-form", "input-prompt"):
        tab_to(page, identity)
    page.set_viewport_size({"width": 1280, "height": 900})
    form, result = (page.locator(f"#{name}").bounding_box() for name in ("form", "result"))
    assert form["x"] < result["x"]
    assert form["y"] == result["y"]


def test_a_folded_group_says_what_is_set_and_opens_for_an_error(
    visit: Callable[..., Any], site: str, fake: FakeApi
) -> None:
    fake.states["art/flux"] = [{"status": "failed", "error": "guidance: must be more."}]
    page = visit(site, *PHONE)
    fill(page, prompt="a")
    sampling = page.locator(".group", has_text="Sampling")
    expect(page.locator("#input-guidance")).to_be_hidden()
    expect(sampling.locator(".told")).to_have_text("num_inference_steps, guidance, seed, go_fast")
    sampling.locator("summary").focus()
    page.keyboard.press("Enter")
    fill(page, seed=3)
    page.keyboard.press("Shift+Tab")
    sampling.locator("summary").click()
    expect(sampling.locator(".told")).to_have_text("seed: set")
    page.click("#run")
    expect(page.locator("#input-guidance-error")).to_be_visible()
    expect(page.locator("#input-guidance")).to_be_focused()
    assert focused(page) == "input-guidance"
    page.click("#reset")
    assert page.url == f"{site}/"
    expect(page.locator("#alert")).to_have_text("")


def test_in_a_narrow_window(visit, address):
    width = 320
    page = visit(address, width, 740, color_scheme="dark")
    form, actions, result = (page.locator(f"#{name}").bounding_box() for name in ("form", "actions", "result"))
    assert result["y"] + result["height"] <= actions["y"] < form["y"]
    expect(page.locator("#run")).to_be_in_viewport()
    expect(page.locator("#input-prompt")).to_be_in_viewport()
    fill(page, prompt="a cat", num_outputs=2)
    expect(page.locator("#input-num_inference_steps")).to_be_hidden()
    page.get_by_text("Sampling").click()
    fill(page, num_inference_steps=2)
    run(page)
    expect(page.locator("#state")).to_be_in_viewport()
    expect(page.locator("#images img").first).to_be_in_viewport()
    expect(page.locator("#run")).to_be_in_viewport()
    for tab in ("output", "history", "api", "versions", "readme", "json"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
