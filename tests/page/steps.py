"""What a user does on the page, in words."""

import io
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect

expect.set_options(timeout=20_000)


def fill(page: Page, **inputs: Any) -> None:
    for name, value in inputs.items():
        page.fill(f"#input-{name}", str(value))


def run(page: Page) -> None:
    """Press Run, and wait for the images."""
    page.click("#run")
    expect(page.locator("#state")).to_contain_text("Done")


def download(page: Page, button: Any) -> bytes:
    """What the browser saves when the button is pressed."""
    with page.expect_download() as download:
        button.click()
    with open(download.value.path(), "rb") as file:  # noqa: PTH123 - a path of the browser's own
        return file.read()


def picture(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.copy()


def error_at(page: Page, name: str) -> str:
    """The error at an input's field, which must be bound to its control."""
    control = page.locator(f"#input-{name}")
    expect(control).to_have_attribute("aria-invalid", "true")
    assert f"input-{name}-error" in control.get_attribute("aria-describedby").split()
    return page.locator(f"#input-{name}-error").text_content()


def program(page: Page, language: str) -> str:
    page.click("#tab-api")
    page.click(f"#tab-{language}")
    return page.locator(f"#panel-{language} code").nth(1).text_content()


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id")


def tab_to(page: Page, identity: str) -> None:
    """By the Tab key alone."""
    for _ in range(80):
        if focused(page) == identity:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {identity}")


def shown_width(page: Page, selector: str) -> int:
    """An image's own width once it is loaded; 0 if it cannot be."""
    return page.locator(selector).evaluate("async image => { await image.decode(); return image.naturalWidth }")
