"""Texts, lists and other files than images; and errors, in words, at the fields they are about."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.conftest import run_page
from tests.page.fake_api import FILES_OUTPUT, TEXT_OUTPUT, TEXTS_OUTPUT, FakeApi, run_fake_api, schema
from tests.page.steps import error_at, fill, program

TEXT = {"type": "string"}


@pytest.fixture(scope="module")
def fake(browser: Any) -> Iterator[FakeApi]:
    with run_fake_api() as api:
        api.add_model("words/writer", schema(TEXT_OUTPUT, question=TEXT))
        api.add_model("words/lister", schema(TEXTS_OUTPUT, question=TEXT))
        api.add_model("words/teller", schema(TEXT, question=TEXT))
        api.add_model("any/values", schema({"type": "object"}, question=TEXT))
        api.add_model("any/files", schema(FILES_OUTPUT, image=TEXT | {"format": "uri"}, mask=TEXT | {"format": "uri"}))
        yield api


@pytest.fixture(scope="module")
def site(fake: FakeApi) -> Iterator[str]:
    with run_page(fake.url, "token") as url:
        yield url


def begin(visit: Callable[..., Any], site: str, model: str, **inputs: str) -> Any:
    page = visit(f"{site}/{model}")
    expect(page.locator(".nothing")).to_be_visible()
    fill(page, **inputs)
    page.click("#run")
    return page


def test_a_text_in_parts_is_one_text_that_grows(visit: Callable[..., Any], site: str, fake: FakeApi) -> None:
    parts = ["Once", " upon", "\na <b>time</b>", " https://a.example/x.png"]
    fake.states["words/writer"] = [{"status": "processing", "output": parts[:k]} for k in (1, 2)]
    page = begin(visit, site, "words/writer", question="?")
    expect(page.locator("#images .text")).to_have_text("Once upon")
    expect(page.locator("#state")).to_have_text("Running")
    fake.predictions[page.url.rpartition("/")[2]].append({"id": "x", "status": "succeeded", "output": parts})
    expect(page.locator("#state")).to_have_text("Done")
    assert page.locator("#images .text").text_content() == "".join(parts)
    assert page.locator("#images img").count() == 0


@pytest.mark.parametrize(
    ("model", "output", "shown"),
    [
        ("words/lister", ["one", "two", ""], ["one", "two", ""]),
        ("words/teller", "https://a.example is a text here", ["https://a.example is a text here"]),
        ("words/writer", [], []),
        ("any/values", {"score": 0.5}, ['{\n  "score": 0.5\n}']),
    ],
)
def test_each_kind_of_output_is_shown_as_what_it_is(
    visit: Callable[..., Any], site: str, fake: FakeApi, model: str, output: Any, shown: list[str]
) -> None:
    fake.states[model] = [{"status": "succeeded", "output": output}]
    page = begin(visit, site, model, question="?")
    expect(page.locator("#state")).to_contain_text("Done")
    expect(page.locator(".nothing")).to_be_hidden()
    assert page.locator("#images .text").all_text_contents() == shown


def test_files_that_are_no_images_can_be_saved(visit: Callable[..., Any], site: str, fake: FakeApi) -> None:
    fake.files["/delivery/a/b.txt"] = ("text/plain", b"hello")
    fake.states["any/files"] = [{"status": "succeeded", "output": [f"{fake.url}/delivery/a/b.txt"]}]
    page = begin(visit, site, "any/files")
    expect(page.locator("#images .file")).to_contain_text("b.txt")
    with page.expect_download() as saved:
        page.click("text=Download")
    assert saved.value.suggested_filename == "b.txt"


@pytest.mark.parametrize("language", ["python", "javascript", "curl"])
def test_programs_for_a_text_print_it_and_can_stream_it(visit: Callable[..., Any], site: str, language: str) -> None:
    page = visit(f"{site}/words/writer")
    fill(page, question="why?")
    text = program(page, language)
    assert "why?" in text
    assert "writeFile" not in text
    assert "target.write" not in text
    panel = page.locator(f"#panel-{language}")
    panel.get_by_text("Streaming", exact=True).click()
    ways = {"python": "replicate.stream(", "javascript": "replicate.stream(", "curl": "text/event-stream"}
    expect(panel.locator("details", has_text="Streaming")).to_contain_text(ways[language])
    expect(panel.locator("details", has_text="Webhook")).to_contain_text("webhook_events_filter")
    expect(panel.locator("details", has_text="Polling")).to_contain_text("processing")
    page.goto(f"{site}/words/lister")
    expect(panel.locator("details", has_text="Streaming")).to_contain_text("nothing to stream")


HOST = "files.example"
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "Input validation error: image or mask: https://HOST/a.png: There is no public host 'HOST'.",
            "image or mask: https://files.example/a.png: There is no public host 'files.example'.",
        ),
        ("Prediction failed: Prediction failed: InputError: image: too small.", "image: too small."),
        (
            "Input validation error: 404 Client Error: Not Found for url: https://HOST/a.png?signature=hunter2",
            "https://files.example/a.png could not be fetched: its server answered 404 (Not Found). Check the address.",
        ),
        (
            "HTTPSConnectionPool(host='HOST', port=443): Max retries exceeded with url: /a.png (Caused by "
            "NameResolutionError(\"<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to resolve 'HOST'\"))",
            "The file could not be fetched: There is no host files.example. Check the address for typing errors.",
        ),
        (
            "HTTPSConnectionPool(host='HOST', port=443): Read timed out. (read timeout=10)",
            "The file could not be fetched: files.example does not answer in time. "
            "Try again later, or choose the file here instead.",
        ),
        (
            "HTTPSConnectionPool(host='HOST', port=443): Max retries exceeded with url: /a.png (Caused by "
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')))",
            "The file could not be fetched: files.example has no certificate that can be trusted. "
            "Choose the file here instead.",
        ),
        (
            "Input validation error: No connection adapters were found for 'ftp://HOST/a.png'",
            "ftp://files.example/a.png is not an address that a file can be fetched from. "
            "Give one that begins with https://, or choose the file here.",
        ),
        ("Input validation error: Incorrect padding", "A data URL is not whole base64. Choose the file here instead."),
        (None, "The prediction failed without a reason. The logs may have one."),
    ],
)
def test_errors_are_in_words(
    visit: Callable[..., Any], site: str, fake: FakeApi, error: str | None, words: str
) -> None:
    failed = {"status": "failed"} | ({"error": error.replace("HOST", HOST)} if error else {})
    fake.states["any/files"] = [failed]
    page = visit(f"{site}/any/files")
    page.route(f"https://{HOST}/**", lambda route: route.fulfill(content_type="image/svg+xml", body=SQUARE))
    page.fill("[data-name=image] input[type=text]", f"https://{HOST}/a.png")
    page.click("#run")
    expect(page.locator("#state")).to_have_text("Failed")
    expect(page.locator("#alert")).to_have_text(words)
    if HOST in words and "ftp" not in words:
        assert error_at(page, "image") == words


def test_of_image_and_mask_the_one_whose_address_failed_has_the_error(
    visit: Callable[..., Any], site: str, fake: FakeApi
) -> None:
    words = f"image or mask: https://{HOST}/mask.png: The server answered 404."
    fake.states["any/files"] = [{"status": "failed", "error": f"Input validation error: {words}"}]
    page = visit(f"{site}/any/files")
    page.route(f"https://{HOST}/**", lambda route: route.fulfill(content_type="image/svg+xml", body=SQUARE))
    page.fill("[data-name=image] input[type=text]", f"https://{HOST}/a.png")
    page.fill("[data-name=mask] input[type=text]", f"https://{HOST}/mask.png?signature=x")
    page.click("#run")
    assert error_at(page, "mask") == words
    expect(page.locator("#input-image[aria-invalid]")).to_have_count(0)
    expect(page.locator("#input-mask")).to_be_focused()
