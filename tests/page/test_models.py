"""Several models of one API: each shows what the API tells of it, and nothing of another."""

import io
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from PIL import Image
from playwright.sync_api import expect

from tests.page.conftest import run_page
from tests.page.fake_api import FILES_OUTPUT, TEXT_OUTPUT, FakeApi, run_fake_api, schema
from tests.page.steps import fill

WORDS = {"type": "string", "description": "What to write."}


@pytest.fixture(scope="module")
def models(browser: Any) -> Iterator[FakeApi]:
    with run_fake_api() as api:
        image = io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(image, "PNG")
        api.files["/delivery/cover/a.png"] = ("image/png", image.getvalue())
        cover = f"{api.url}/delivery/cover/a.png"
        api.add_model(
            "art/drawer",
            schema(FILES_OUTPUT, ("prompt",), prompt=WORDS, seed={"type": "integer"}),
            schema(FILES_OUTPUT, ("prompt",), prompt=WORDS, old_name={"type": "string"}),
            schema(FILES_OUTPUT),
            description="Draws what it is told.",
            run_count=12345,
            license_url="https://licenses.example/apache",
            github_url="javascript:alert(1)",
            cover_image_url=cover,
        )
        api.add_model("words/writer", schema(TEXT_OUTPUT, question=WORDS), run_count=1)
        api.add_model("words/unborn", schema(TEXT_OUTPUT))
        del api.models["words/unborn"]["latest_version"]
        api.readmes["art/drawer"] = "# The drawer\n\n![tracked](http://a.example/x.png) [more](https://a.example)"
        example = {
            "model": "art/drawer",
            "status": "succeeded",
            "output": [cover],
            "created_at": "2026-11-20T10:00:00Z",
        }
        api.examples["art/drawer"] = [
            example
            | {
                "id": "good",
                "input": {"prompt": "a sea", "seed": 3},
                "logs": "10 steps",
                "metrics": {"predict_time": 2},
            },
            example | {"id": "old", "input": {"prompt": "a hill", "old_name": "x"}},
            example | {"id": "other", "input": {"question": "why?"}},
        ]
        api.examples["words/writer"] = [example | {"id": "stray", "input": {"prompt": "a sea", "seed": 3}}]
        api.predictions["good"] = [api.examples["art/drawer"][0]]
        yield api


@pytest.fixture(scope="module")
def address(models: FakeApi) -> Iterator[str]:
    with run_page(models.url, "token", "--model", "art/drawer") as url:
        yield url


def test_what_is_said_of_a_model_is_the_apis(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    expect(page).to_have_title(re.compile("^art/drawer .* Easel$"))
    expect(page.locator("#description")).to_have_text("Draws what it is told.")
    expect(page.locator("#facts")).to_contain_text("12,345 runs")
    assert page.locator("#facts a").evaluate_all("all => all.map((one) => one.href)") == [
        "https://licenses.example/apache"
    ]
    page.click("#tab-readme")
    expect(page.locator("#panel-readme h2")).to_have_text("The drawer")
    expect(page.locator("#panel-readme img[src]")).to_have_count(0)
    assert page.locator("#panel-readme a").get_attribute("rel") == "noopener noreferrer"


def test_another_model_shows_nothing_of_the_first_or_of_the_repository(visit: Callable[..., Any], address: str) -> None:
    page = visit(f"{address}/words/writer")
    expect(page.locator("h1")).to_have_text("words/writer")
    expect(page.locator("#facts")).to_have_text("1 run")
    expect(page.locator("#description")).to_be_hidden()
    assert page.locator(".field .name").all_text_contents() == ["question"]
    expect(page.locator("#examples")).to_be_hidden()
    page.click("#tab-readme")
    expect(page.locator("#panel-readme")).to_have_text("This model has no README.")


def test_an_example_opens_as_a_whole_run_and_fits_its_form(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    expect(page.locator(".card")).to_have_count(1)  # the others have inputs that this form lacks
    page.click(".card")
    expect(page.locator("#input-prompt")).to_have_value("a sea")
    expect(page.locator("#input-seed")).to_have_value("3")
    expect(page.locator("#images img")).to_have_count(1)
    expect(page.locator("#log-text")).to_have_text("10 steps")
    expect(page.locator("#state")).to_have_text("Done: 1 file in 2.0 s")
    assert page.url == f"{address}/p/good"
    page.go_back()
    expect(page.locator("#images img")).to_have_count(0)


def test_all_models_are_listed(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.click("text=All models")
    expect(page.locator(".model-list .title")).to_have_text(["art/drawer", "words/writer"])
    page.click("text=Show more")
    expect(page.locator(".model-list .title")).to_have_text(["art/drawer", "words/writer", "words/unborn"])
    expect(page.locator(".model-list li").nth(2)).to_contain_text("no version yet")
    expect(page.locator("text=Show more")).to_be_hidden()
    page.click("text=words/writer")
    expect(page.locator("#input-question")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/words/unborn", "words/unborn has no version yet"),
        ("/no/body", "There is no such thing"),
        ("/art/drawer/versions/0123", "There is no such thing"),
    ],
)
def test_what_is_not_there_is_said(visit: Callable[..., Any], address: str, path: str, words: str) -> None:
    page = visit(address + path)
    expect(page.locator("#notice")).to_contain_text(words)
    expect(page.locator("#form")).to_be_hidden()


def test_an_older_version_can_be_run(visit: Callable[..., Any], address: str, models: FakeApi) -> None:
    models.states["art/drawer"] = [{"status": "succeeded", "output": []}]
    page = visit(address)
    page.click("#tab-versions")
    expect(page.locator(".versions li")).to_have_count(2)
    expect(page.locator(".versions li").first).to_contain_text("newest, in the form")
    page.click("#panel-versions >> text=Show more")
    expect(page.locator(".versions li")).to_have_count(3)
    page.locator(".versions li").nth(1).get_by_text("Use it").click()
    expect(page.locator("#notice")).to_contain_text("is not the newest")
    fill(page, prompt="a hill", old_name="x")
    page.click("#run")
    expect(page.locator("#state")).to_have_text("Done, without an output")
    old = models.versions["art/drawer"][1]["id"]
    assert models.created[-1] == {"version": old, "input": {"prompt": "a hill", "old_name": "x"}}


def test_where_the_first_model_is_not_there_all_are_listed(visit: Callable[..., Any], models: FakeApi) -> None:
    with run_page(models.url, "token") as url:
        page = visit(url)
        expect(page.locator(".model-list .title")).to_have_text(["art/drawer", "words/writer"])


def test_an_api_with_a_certificate_of_its_own_is_known_by_the_variable_of_all_clients(
    visit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with run_fake_api(context) as api:
        api.add_model("words/writer", schema(TEXT_OUTPUT, question=WORDS))
        for trusted, words in ((False, "does not answer"), (True, "")):
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
            with run_page(api.url, "token", "--model", "words/writer") as url:
                page = visit(url)
                expect(page.locator("#notice")).to_contain_text(words)
                expect(page.locator("#input-question")).to_have_count(int(trusted))


def test_the_schema_is_in_the_api_tab(visit: Callable[..., Any], address: str) -> None:
    page = visit(address)
    page.click("#tab-api")
    page.click("#tab-schema")
    expect(page.locator("#panel-schema")).to_contain_text('"description": "What to write."')
    expect(page.locator("#panel-schema")).to_contain_text('"format": "uri"')


def test_without_the_api_the_page_says_so(visit, browser):
    with run_page("http://127.0.0.1:9", "token") as url:
        page = visit(url)
        expect(page.locator("#notice")).to_contain_text("http://127.0.0.1:9 does not answer")
        expect(page.locator("#form")).to_be_hidden()
        page.click("text=Try again")
        expect(page.locator("#notice")).to_contain_text("http://127.0.0.1:9 does not answer")
