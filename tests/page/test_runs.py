"""A run has an address: it can be reloaded, shared, gone back to, and found again in the history."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.conftest import run_page
from tests.page.fake_api import FILES_OUTPUT, TEXT_OUTPUT, TEXTS_OUTPUT, FakeApi, run_fake_api, schema
from tests.page.steps import fill, run, shown_width
from tests.support.api_process import Api, ask

TEXT = {"type": "string"}


def test_a_run_can_be_reloaded_shared_and_gone_back_to(page: Any, visit: Callable[..., Any], address: str) -> None:
    home = page.url
    fill(page, prompt="a red apple", seed=7, num_inference_steps=2)
    run(page)
    first = page.url
    assert first.startswith(f"{address}/p/")
    fill(page, prompt="a green apple", num_inference_steps=2)
    run(page)
    assert page.url != first
    page.go_back()
    expect(page.locator("#parameter-list")).to_contain_text("a red apple")
    expect(page.locator("#input-prompt")).to_have_value("a red apple")
    page.go_back()
    assert page.url == home
    expect(page.locator("#images figure")).to_have_count(0)
    page.go_forward()
    expect(page.locator("#images figure")).to_have_count(1)
    for other in (page, visit(first)):
        other.reload()
        expect(other.locator("#state")).to_contain_text("Done: 1 file")
        assert shown_width(other, "#images img") == 128
        expect(other.locator("#log-text")).to_contain_text("seed: 7")
        expect(other.locator("#parameter-list")).to_contain_text("time of the model")
        expect(other.locator("#input-seed")).to_have_value("7")


def test_a_run_survives_a_reload_while_it_runs_and_a_leave(page: Any, api: Api) -> None:
    fill(page, prompt="a dog", num_outputs=4, num_inference_steps=50)
    page.click("#run")
    expect(page.locator("#progress[value]")).to_be_visible()
    identity = page.url.rpartition("/")[2]
    page.reload()
    expect(page.locator("#progress[value]")).to_be_visible()
    expect(page.locator("#input-num_outputs")).to_have_value("4")
    page.go_back()
    expect(page.locator("#cancel")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#cancel")).to_be_visible()
    page.click("#cancel")
    expect(page.locator("#state")).to_have_text("Canceled")
    assert ask(api, "GET", f"/v1/predictions/{identity}")[1]["status"] == "canceled"


def test_the_files_of_a_run_come_back_into_the_form(page: Any, samples: Any) -> None:
    page.set_input_files("[data-name=image] input[type=file]", samples / "inputs" / "house.png")
    fill(page, prompt="a house", num_inference_steps=2)
    run(page)
    page.reload()
    assert shown_width(page, "[data-name=image] .preview") == 128
    run(page)


def test_the_history_has_thumbnails_and_opens_runs(page: Any, address: str) -> None:
    fill(page, prompt="a violet star", num_inference_steps=2)
    run(page)
    made = page.url
    page.click("#title")
    page.wait_for_url(f"{address}/easel/emoji")
    page.wait_for_selector("body[data-ready]")
    page.click("#tab-history")
    row = page.locator(".runs li").first
    expect(row).to_contain_text("a violet star")
    assert shown_width(page, ".runs li:first-child img") == 128
    row.locator("a").click()
    expect(page.locator("#input-prompt")).to_have_value("a violet star")
    expect(page.locator("#images figure")).to_have_count(1)
    assert page.url == made


@pytest.fixture(scope="module")
def made(browser: Any) -> Iterator[FakeApi]:
    with run_fake_api() as api:
        api.add_model("art/drawer", schema(FILES_OUTPUT, ("prompt",), prompt=TEXT, image=TEXT | {"format": "uri"}))
        api.add_model("words/writer", schema(TEXT_OUTPUT, question=TEXT, token=TEXT | {"format": "password"}))
        api.add_model("words/lister", schema(TEXTS_OUTPUT, question=TEXT))
        api.add_prediction("before", "words/writer", input={"question": "what?"}, output=["It ", "was."])
        for k in range(4):
            api.add_prediction(f"drawn{k}", "art/drawer", input={"prompt": f"drawing {k}"}, output=[])
        yield api


@pytest.fixture(scope="module")
def site(made: FakeApi) -> Iterator[str]:
    with run_page(made.url, "token", "--model", "words/writer") as url:
        yield url


def test_the_history_is_of_one_model_or_of_all_a_page_at_a_time(visit: Callable[..., Any], site: str) -> None:
    page = visit(f"{site}/art/drawer")
    page.click("#tab-history")
    titles = page.locator(".runs .title")
    expect(titles).to_have_text(["drawing 3", "drawing 2"])
    page.click("#panel-history >> text=Show more")
    expect(titles).to_have_text(["drawing 3", "drawing 2", "drawing 1", "drawing 0"])
    page.click("#panel-history >> text=Show more")
    expect(page.locator("#panel-history >> text=Show more")).to_be_hidden()
    page.locator("#panel-history label", has_text="All models").click()
    page.click("#panel-history >> text=Show more")
    page.click("#panel-history >> text=Show more")
    expect(titles).to_have_count(5)
    page.click("text=what?")
    expect(page.locator("h1")).to_have_text("words/writer")
    expect(page.locator("#images .text")).to_have_text("It was.")


def test_of_a_model_whose_runs_are_far_back_the_history_looks_for_them(visit: Callable[..., Any], site: str) -> None:
    page = visit(site)
    page.click("#tab-history")
    expect(page.locator(".runs .title")).to_have_text(["what?"])
    expect(page.locator(".runs .thumbnail")).to_have_text("It was.")
    lister = visit(f"{site}/words/lister")
    lister.click("#tab-history")
    expect(lister.locator("#panel-history")).to_contain_text("No runs of this model yet.")


def test_a_run_that_is_unknown_or_removed_is_said_in_words(visit: Callable[..., Any], site: str, made: FakeApi) -> None:
    page = visit(f"{site}/p/unknown")
    expect(page.locator("#notice")).to_contain_text("There is no run unknown here")
    expect(page.locator("#input-question")).to_be_visible()
    removed = {"status": "succeeded", "data_removed": True, "output": None, "input": {}}
    made.add_prediction("gone", "art/drawer", removed)
    try:
        page = visit(f"{site}/p/gone")
        expect(page.locator("#alert")).to_contain_text("have been removed")
        expect(page.locator("h1")).to_have_text("art/drawer")
        page.click("#tab-history")
        expect(page.locator(".runs .thumbnail").first).to_have_text("removed")
    finally:
        del made.predictions["gone"]


def test_a_run_outlives_its_model(visit: Callable[..., Any], site: str, made: FakeApi) -> None:
    made.predictions["orphan"] = [{"id": "orphan", "model": "no/more", "status": "succeeded", "output": ["one", "two"]}]
    try:
        page = visit(f"{site}/p/orphan")
        expect(page.locator("#notice")).to_contain_text("There is no such thing")
        expect(page.locator("#images .text")).to_have_text(["one", "two"])
        expect(page.locator("#form")).to_be_hidden()
    finally:
        del made.predictions["orphan"]


def test_what_a_run_lacks_is_no_error(visit: Callable[..., Any], site: str, made: FakeApi) -> None:
    """Members without a value are left out."""
    made.predictions["sparse"] = [{"id": "sparse", "model": "art/drawer", "status": "canceled"}]
    try:
        page = visit(f"{site}/p/sparse")
        expect(page.locator("#state")).to_have_text("Canceled")
        page.click("#tab-history")
        expect(page.locator(".runs .title").first).to_have_text("Without inputs")
    finally:
        del made.predictions["sparse"]


def test_an_input_of_a_run_that_the_form_lacks_or_hides_is_left_out(
    visit: Callable[..., Any], site: str, made: FakeApi
) -> None:
    given = {"question": "why?", "token": "[REDACTED]", "old": 3}
    made.add_prediction("secret", "words/writer", input=given, output=["so"])
    try:
        page = visit(f"{site}/p/secret")
        expect(page.locator("#input-question")).to_have_value("why?")
        expect(page.locator("#input-token")).to_have_value("")
        page.click("#tab-json")
        assert json.loads(page.input_value("#json")) == {"question": "why?"}
        expect(page.locator("#parameter-list")).not_to_contain_text("REDACTED")
    finally:
        del made.predictions["secret"]
