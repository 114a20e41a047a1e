"""The Planner in the browser: a week is drawn, a trace dropped, a slider moved, and the answer follows."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.steps import tab_to

ROW = "Replicate, private model"
MONDAY_8 = '.bar[data-hour="8"]'


@pytest.fixture
def planner(visit: Callable[..., Any], lone_page: str) -> Any:
    page = visit(f"{lone_page}/planner#preset=hobby")
    expect(page.locator("tr.best")).to_have_count(1, timeout=60_000)
    return page


def figure(page: Any, column: str, name: str = ROW) -> float:
    """A number of a row: US dollars, or seconds."""
    text = page.locator(f'tr[data-name="{name}"] .{column} .figure').text_content()
    number, unit = re.fullmatch(r"\$?([\d,.]+)(?:\s(s|min|h))?", text).groups()
    return float(number.replace(",", "")) * {"min": 60, "h": 3600}.get(unit, 1)


def fill_and_wait(page: Any, knob: str, value: str) -> None:
    page.fill(f"#knob-{knob}", value)
    expect(page.locator(".planner-result")).to_have_attribute("aria-busy", "false")


def level(page: Any, hour: int) -> int:
    return int(page.locator(f'.bar[data-hour="{hour}"]').get_attribute("aria-valuenow"))


def drop(page: Any, name: str, text: str) -> None:
    """As if a file were dragged onto the page and let go over its heading."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name));
            return transfer;
        }""",
        [name, text],
    )
    page.dispatch_event("h1", "dragover", {"dataTransfer": transfer})
    expect(page.locator(".drop.over")).to_have_count(1)
    page.dispatch_event("h1", "drop", {"dataTransfer": transfer})
    expect(page.locator(".drop.over")).to_have_count(0)


def test_a_doubled_price_doubles_the_bill_of_a_platform_without_a_credit(planner: Any) -> None:
    before, other = figure(planner, "cost"), figure(planner, "cost", "Own GPU, 1 card")
    fill_and_wait(planner, "price-replicate", "2")
    assert figure(planner, "cost") == pytest.approx(2 * before, abs=0.02)
    assert figure(planner, "cost", "Own GPU, 1 card") == other
    assert "price-replicate=2" in planner.url
    planner.click("#defaults")
    expect(planner.locator(f'tr[data-name="{ROW}"]')).to_be_visible()
    assert planner.locator("#knob-price-replicate").input_value() == "1"


def test_slower_images_and_longer_cold_starts_take_longer(planner: Any) -> None:
    name = "Replicate, deployment, 1 kept ready"
    before, cold = figure(planner, "p95", name), figure(planner, "p95")
    fill_and_wait(planner, "run", "4.8")
    assert figure(planner, "p95", name) > 1.5 * before
    fill_and_wait(planner, "setup", "150")
    assert figure(planner, "p95") > cold + 100


def test_the_wish_decides_which_is_the_cheapest(planner: Any) -> None:
    fill_and_wait(planner, "p95", "600")
    cheap = planner.locator("tr.best").get_attribute("data-name")
    fill_and_wait(planner, "p95", "5")
    quick = planner.locator("tr.best").get_attribute("data-name")
    assert figure(planner, "cost", cheap) < figure(planner, "cost", quick)
    assert figure(planner, "p95", quick) <= 5 < figure(planner, "p95", cheap)
    expect(planner.locator("#planner-answer")).to_contain_text(quick)
    fill_and_wait(planner, "p95", "0.5")
    expect(planner.locator("tr.best")).to_have_count(0)
    expect(planner.locator("#planner-answer")).to_contain_text("No setting has a 95th percentile of at most 0.5")


def test_what_is_more_than_a_platform_can_do_is_said(planner: Any) -> None:
    fill_and_wait(planner, "requests", "100,000")
    fill_and_wait(planner, "run", "60")
    unfit = planner.locator(f'tr.unfit[data-name="{ROW}"]')
    expect(unfit).to_contain_text("cannot do this work")
    expect(planner.locator("#planner-drawn")).to_contain_text("in 3 days")


def test_a_slider_moves_with_the_keyboard_and_a_wrong_number_is_refused(planner: Any) -> None:
    tab_to(planner, "slider-run")
    planner.keyboard.press("End")
    expect(planner.locator("#knob-run")).to_have_value("120")
    planner.keyboard.press("ArrowLeft")
    assert 110 < float(planner.locator("#knob-run").input_value()) < 120
    planner.fill("#knob-run", "1e9")
    expect(planner.locator("#knob-run-error")).to_have_text("It must be a number from 0.1 to 120.")
    expect(planner.locator("#knob-run")).to_have_attribute("aria-invalid", "true")
    planner.fill("#knob-run", "2")
    expect(planner.locator("#knob-run-error")).to_be_hidden()


# The address has a week, and no longer changes: while the pointer moves it may be written more than once.
SETTLED = """() => new Promise((done) => {
  const seen = location.hash;
  setTimeout(() => done(seen === location.hash && seen.includes("week=")), 500);
})"""


def test_the_week_is_drawn_with_the_pointer_and_shared_by_its_address(
    planner: Any, visit: Callable[..., Any], lone_page: str
) -> None:
    box = planner.locator(".strip").nth(2).bounding_box()
    at = lambda hour, height: (box["x"] + (hour + 0.5) / 24 * box["width"], box["y"] + box["height"] * (1 - height))  # noqa: E731
    planner.mouse.move(*at(3, 0.9))
    planner.mouse.down()
    planner.mouse.move(*at(6, 0.9))
    planner.mouse.move(*at(10, 1.5), steps=2)
    planner.mouse.up()
    assert [level(planner, 48 + hour) for hour in (3, 4, 5, 6)] == pytest.approx([90] * 4, abs=3)
    assert level(planner, 58) == 100
    expect(planner.locator('[data-preset="hobby"]')).to_have_attribute("aria-pressed", "false")
    planner.wait_for_function(SETTLED)
    other = visit(planner.url)
    expect(other.locator("tr.best")).to_have_count(1)
    bars = "all => all.map((bar) => bar.getAttribute('aria-valuenow'))"
    assert other.locator(".bar").evaluate_all(bars) == planner.locator(".bar").evaluate_all(bars)
    assert other.locator("#knob-requests").input_value() == "20"
    planner.click('[data-preset="flat"]')
    assert [level(planner, hour) for hour in (0, 51, 167)] == [100, 100, 100]


def test_an_address_with_an_example_keeps_what_was_changed_of_it(planner: Any) -> None:
    fill_and_wait(planner, "requests", "2,000")  # as in the first example, whose values no address needs
    planner.reload()
    expect(planner.locator("#knob-requests")).to_have_value("2,000")
    expect(planner.locator("#knob-bursts")).to_have_value("0")
    expect(planner.locator('[data-preset="hobby"]')).to_have_attribute("aria-pressed", "true")


def test_the_week_is_drawn_with_the_keyboard(planner: Any) -> None:
    planner.locator('.bar[tabindex="0"]').focus()
    planner.keyboard.press("ArrowLeft")
    assert planner.evaluate("document.activeElement.dataset.hour") == "8"
    for key, shown in (("Home", 0), ("ArrowUp", 5), ("End", 100), ("ArrowDown", 95)):
        planner.keyboard.press(key)
        assert level(planner, 8) == pytest.approx(shown, abs=1)
    assert planner.locator(MONDAY_8).get_attribute("aria-label") == "Monday, 8:00"
    assert "requests an hour" in planner.locator(MONDAY_8).get_attribute("aria-valuetext")
    planner.keyboard.press("PageDown")
    assert planner.evaluate("document.activeElement.dataset.hour") == "32"
    planner.keyboard.press("PageUp")
    planner.click("#copy-day")
    assert [level(planner, 8 + 24 * day) for day in range(7)] == [level(planner, 8)] * 7


def test_a_trace_is_dropped_and_drawn_upon(planner: Any, samples: Path) -> None:
    text = (samples / "traffic" / "hobby.csv").read_text()
    with planner.expect_response("**/page/planner") as answered:
        drop(planner, "hobby.csv", text)
    assert answered.value.json()["requests"] == 517
    expect(planner.locator("#trace")).to_contain_text("hobby.csv: 517 arrivals in 28 days")
    expect(planner.locator("#knob-requests")).to_be_hidden()
    expect(planner.locator(".day").first).to_have_text("Day 1")
    with planner.expect_response("**/page/planner") as answered:
        planner.get_by_label("Remove the trace").click()
    assert answered.value.request.post_data_json["drawn"]["requests_per_day"] == 18.5
    expect(planner.locator("#knob-requests")).to_be_visible()


WRONG_FILES = [
    ("a.parquet", "PAR1", "easel simulate a.parquet"),
    ("a.json", "[]", "must be a .csv file"),
    ("a.csv", "", "which has nothing"),
    ("a.csv", "moment\n1", "which has moment"),
    ("a.csv", "seconds\n", "has no arrival"),
    ("a.csv", "seconds\n5\n3", "Row 2 of a.csv is earlier"),
    ("a.csv", "seconds\n-1", "before 0"),
    ("a.csv", "seconds\n1\nsoon", 'Row 2 of a.csv has "soon"'),
    ("a.csv", "time\nsoon", "which is no time"),
    ("a.csv", "seconds\n1e308", "more than 366 days"),
    ("a.csv", "seconds\n" + "1\n" * 200_001, "at most 200,000"),
]


def test_files_that_are_no_trace_are_refused_in_words(planner: Any) -> None:
    for name, text, words in WRONG_FILES:
        drop(planner, name, text)
        expect(planner.locator("#trace-error")).to_contain_text(words)
        expect(planner.locator("#trace")).to_have_text("")


def test_a_trace_may_have_timestamps_and_quotes(planner: Any) -> None:
    rows = [
        '"id","time"',
        '"a, b","2026-11-23 09:30:00"',
        '"c","2026-11-23T10:00:00.25Z"',
        '"d","2026-11-24T00:00:01+00:00"',
    ]
    with planner.expect_response("**/page/planner") as answered:
        drop(planner, "log.csv", "\r\n".join(rows))
    assert answered.value.request.post_data_json["trace"] == [34200, 36000.25, 86401]
