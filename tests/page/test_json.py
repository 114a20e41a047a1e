"""The input as JSON beside the form: both say the same, and what is wrong in one is said with its place."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.conftest import run_page
from tests.page.fake_api import FILES_OUTPUT, FakeApi, run_fake_api, schema
from tests.page.steps import fill

INPUTS = {
    "prompt": {"type": "string"},
    "steps": {"type": "integer", "default": 4, "minimum": 1, "maximum": 9},
    "fast": {"type": "boolean", "default": False},
    "format": {"enum": ["png", "jpg"], "type": "string", "default": "png"},
    "image": {"type": "string", "format": "uri"},
    "loras": {"type": "array", "items": {"type": "string"}},
    "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
    "style": {"anyOf": [{"$ref": "#/components/schemas/Style"}, {"type": "null"}]},
    "size": {"type": ["number", "null"]},
    "token": {"type": "string", "format": "password"},
}


@pytest.fixture(scope="module")
def fake(browser: Any) -> Iterator[FakeApi]:
    with run_fake_api() as api:
        document = schema(FILES_OUTPUT, ("prompt",), **INPUTS)
        document["components"]["schemas"]["Style"] = {"type": "string", "enum": ["flat", "deep"]}
        api.add_model("a/model", document)
        api.states["a/model"] = [{"status": "succeeded", "output": []}]
        yield api


@pytest.fixture(scope="module")
def site(fake: FakeApi) -> Iterator[str]:
    with run_page(fake.url, "token", "--model", "a/model") as url:
        yield url


@pytest.fixture
def page(visit: Callable[..., Any], site: str) -> Any:
    return visit(site)


def test_what_the_form_holds_is_the_json(page: Any, samples: Any) -> None:
    fill(page, prompt='a "red"\napple', steps=6, token="hf_secret")
    page.set_input_files("[data-name=image] input[type=file]", samples / "inputs" / "house.png")
    page.click("#tab-json")
    shown = json.loads(page.input_value("#json"))
    assert shown == {"prompt": 'a "red"\napple', "steps": 6, "image": "@house.png"}


def test_what_is_written_as_json_is_in_the_form_and_in_the_run(page: Any, fake: FakeApi, samples: Any) -> None:
    page.set_input_files("[data-name=image] input[type=file]", samples / "inputs" / "house.png")
    page.click("#tab-json")
    given = {"prompt": "@x", "steps": 2, "fast": True, "format": "jpg", "image": "@house.png", "loras": ["a/b", "c"]}
    page.fill("#json", json.dumps(given | {"token": None}))
    expect(page.locator("#json-error")).to_be_hidden()
    page.click("#run")
    expect(page.locator("#state")).to_contain_text("Done")
    sent = fake.created[-1]["input"]
    assert sent.pop("image").startswith("data:image/png;base64,")
    assert sent == {name: value for name, value in given.items() if name != "image"}
    page.click("#tab-form")
    expect(page.locator("#input-prompt")).to_have_value("@x")
    expect(page.locator("#input-steps")).to_have_value("2")
    expect(page.locator("#input-fast")).to_be_checked()
    expect(page.locator("[data-name=image] .caption")).to_contain_text("house.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"prompt": "a",\n "steps" 3}', "Line 2, column 10: this is not JSON."),
        ('{"prompt": "a"', "Line 1, column 15: this is not JSON."),
        ('{"prompt": "a",}', "Line 1, column 16: this is not JSON."),
        ('["a"]', "The input must be an object"),
        ('{"promt": "a"}', 'There is no input "promt". There are prompt, steps,'),
        ('{"prompt": 3}', "prompt must be text in quotes, not 3."),
        ('{"steps": "3"}', 'steps must be a number, not "3".'),
        ('{"count": "3"}', 'count must be a number, not "3".'),
        ('{"size": true}', "size must be a number, not true."),
        ('{"style": "round"}', 'style must be one of "flat", "deep", not "round".'),
        ('{"fast": "yes"}', 'fast must be true or false, not "yes".'),
        ('{"format": "gif"}', 'format must be one of "png", "jpg", not "gif".'),
        ('{"image": "@missing.png"}', "image: the form has no file missing.png."),
        ('{"loras": "a"}', 'loras must be a list in brackets, not "a".'),
        ('{"loras": [1]}', "loras must be a list of strings, not [1]."),
    ],
)
def test_wrong_json_says_where_and_is_not_run(page: Any, fake: FakeApi, text: str, words: str) -> None:
    before = len(fake.created)
    page.click("#tab-json")
    page.fill("#json", text)
    expect(page.locator("#json-error")).to_contain_text(words)
    page.click("#run")
    expect(page.locator("#json")).to_be_focused()
    assert len(fake.created) == before
    page.click("#tab-form")
    page.click("#tab-json")
    expect(page.locator("#json")).to_have_value(text)  # which is not lost by a look at the form
    page.fill("#json", '{"prompt": "a"}')
    expect(page.locator("#json-error")).to_be_hidden()


def test_an_error_of_a_run_leads_from_the_json_to_the_field(page: Any, fake: FakeApi) -> None:
    fake.states["a/model"] = [{"status": "failed", "error": "steps: too few."}]
    try:
        page.click("#tab-json")
        page.fill("#json", '{"prompt": "a", "steps": 1}')
        page.click("#run")
        expect(page.locator("#input-steps-error")).to_have_text("steps: too few.")
        expect(page.locator("#input-steps")).to_be_focused()
    finally:
        fake.states["a/model"] = [{"status": "succeeded", "output": []}]
