"""How the Planner is shown: on a phone, while it waits, what it assumes, and without the extra."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was not tried in a browser")
from playwright.sync_api import expect

from tests.page.conftest import run_page

NARROW = 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(visit: Callable[..., Any], lone_page: str, scheme: str) -> None:
    page = visit(f"{lone_page}/planner#preset=hobby", NARROW, 740, color_scheme=scheme)
    expect(page.locator("tr.best")).to_have_count(1, timeout=60_000)
    page.click("#assumed summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    page.locator("#knob-price-modal").scroll_into_view_if_needed()
    expect(page.locator("#planner-answer")).to_be_in_viewport()  # it stays while the sliders move
    wide = [box["width"] for one in page.locator("tr.best td .bars").all() if (box := one.bounding_box())]
    assert min(wide) > NARROW / 3


def test_every_figure_is_shown_with_its_source_and_date(visit: Callable[..., Any], lone_page: str) -> None:
    page = visit(f"{lone_page}/planner#preset=hobby")
    page.click("#assumed summary")
    shown = page.locator("#assumed")
    expect(shown).to_contain_text('180 (60 to 300) assumed: the documentation says "a few minutes"')
    expect(shown).to_contain_text("2026-11-18")
    expect(shown).to_contain_text("computed: 453 TFLOP for 8 steps")
    expect(shown).to_contain_text("GPU snapshot (alpha): starts in 8 s")


def test_the_planner_is_a_link_beside_all_models(visit: Callable[..., Any], lone_page: str) -> None:
    page = visit(f"{lone_page}/models")
    page.click("text=Planner")
    expect(page).to_have_title(re.compile("^Planner .* Easel$"))
    expect(page.locator("#planner .controls")).to_be_visible()
    page.click("text=All models")
    expect(page.locator("#models")).to_be_visible()


@pytest.fixture
def held(browser: Any, lone_page: str) -> Iterator[tuple[Any, list[Any]]]:
    """The Planner of a page that has not compiled its simulation yet, and the questions that it has asked."""
    page = browser.new_page()
    questions: list[Any] = []

    def not_ready(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"ready": False})

    page.route("**/page/planner.json", not_ready)
    page.route("**/page/planner", lambda route: questions.append(route))
    page.goto(f"{lone_page}/planner#preset=hobby")
    page.wait_for_selector("body[data-ready]")
    yield page, questions
    page.close()


def test_while_it_compiles_it_says_so_and_then_asks_the_newest_alone(held: tuple[Any, list[Any]]) -> None:
    page, questions = held
    expect(page.locator("#planner-status")).to_contain_text("Compiling the simulation")
    for value in ("3", "4", "5"):
        page.fill("#knob-run", value)
        page.wait_for_timeout(150)  # longer than the page waits after a change
    assert [one.request.post_data_json["run_seconds"]["median"] for one in questions] == [2.4]
    questions[0].continue_()
    expect(page.locator("tr.best")).to_have_count(1, timeout=60_000)
    expect(page.locator("#planner-status")).to_have_text("")
    page.wait_for_timeout(300)
    assert [one.request.post_data_json["run_seconds"]["median"] for one in questions] == [2.4, 5]
    questions[1].fulfill(status=429, json={"detail": "A newer question came before this one was answered."})
    page.wait_for_timeout(800)
    assert [one.request.post_data_json["run_seconds"]["median"] for one in questions] == [2.4, 5, 5]
    questions[2].fulfill(status=422, json={"detail": "Draw another week."})
    expect(page.locator("#planner-status")).to_have_text("Draw another week.")


def test_without_the_extra_it_says_what_to_install(
    visit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numba.py").write_text("raise ModuleNotFoundError('no numba', name='numba')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with run_page("http://127.0.0.1:9", "token") as url:
        page = visit(f"{url}/planner")
        expect(page.locator("#planner")).to_contain_text("needs the package numba")
        expect(page.locator("#planner code")).to_have_text("pip install 'easel[plan]'")
