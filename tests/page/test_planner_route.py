"""The Planner's routes without a browser: the same figures as `evaluate`, and one question at a time."""

import asyncio
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from starlette.requests import Request

from easel.page.planner import Planner
from easel.page.question import MOST, DrawnWeek, fewer_days
from easel.platforms.choose import cheapest, evaluate
from easel.platforms.files import read_yaml
from easel.platforms.prices import load_platforms
from easel.platforms.profile import Profile
from easel.platforms.study import row_as_json
from easel.platforms.traffic import Week, make_traffic, read_traffic
from tests.page.conftest import run_page
from tests.page.questions import FEW, FLAT, TIMES, call

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
PROFILE = SAMPLES / "profiles" / "z-image-turbo-l40s.yaml"


def ask(lone_page, question):
    status, content = call(lone_page, "POST", "/page/planner", json.dumps(question).encode())
    assert status == 200, content
    return content


def bill(answer, name):
    return next(one["usd_per_month"] for one in answer["settings"] if one["name"] == name)


def test_it_shows_all_figures_with_their_sources_and_the_samples(lone_page):
    status, shown = call(lone_page, "GET", "/page/planner.json")
    assert status == 200
    assert {one["name"] for one in shown["platforms"]} == {one.name for one in load_platforms()}
    idle = next(one for one in shown["platforms"] if one["name"] == "replicate")["idle_seconds"]
    assert (idle["low"], idle["value"], idle["high"]) == (60, 180, 300)
    assert idle["source"]
    assert idle["date"]
    assert shown["profile"] == json.loads(read_yaml(PROFILE, Profile).model_dump_json())
    weeks = {one["name"]: one for one in shown["weeks"]}
    assert set(weeks) == {"hobby", "shop", "steady"}
    assert weeks["shop"]["bursts"] == {"per_day": 3, "factor": 10, "minutes": 8}
    assert weeks["shop"]["week"][9] == pytest.approx(1.1 * 1.6)


def expected(traffic):
    return evaluate(load_platforms(), read_yaml(PROFILE, Profile), traffic, repeats=0, sweep=False)


def test_a_trace_has_the_figures_that_the_command_has_for_its_file(lone_page):
    path = SAMPLES / "traffic" / "hobby.csv"
    arrivals = [float(line) for line in path.read_text().splitlines()[1:]]
    found = ask(lone_page, TIMES | {"trace": arrivals})
    rows = expected(read_traffic(path))
    assert [one["name"] for one in found["settings"]] == [row.name for row in rows]
    for one, row in zip(found["settings"], rows, strict=True):
        assert one | json.loads(json.dumps(row_as_json(row))) == one
        assert sum(one["usd_by_stage"].values()) == pytest.approx(one["usd_per_month"])
    assert found["cheapest"] == cheapest(rows, 10).name
    assert found["requests"] == len(arrivals)


def test_a_drawn_week_has_the_figures_of_the_week_that_a_file_describes(lone_page):
    week = read_yaml(SAMPLES / "traffic" / "hobby.yaml", Week)
    weights = [day * hour for day in week.weekdays for hour in week.hours]
    drawn = {"week": weights, "requests_per_day": 20, "variation": 3.0}
    found = ask(lone_page, TIMES | {"drawn": drawn})
    assert found["days"] == 364
    rows = expected(make_traffic(week.model_copy(update={"days": 364.0})))
    for one, row in zip(found["settings"], rows, strict=True):
        assert one["usd_per_month"] == pytest.approx(row.usd_per_month(), rel=1e-9)
        assert one["p95_s"] == pytest.approx(row.likely.latency[1], rel=1e-9)


def test_prices_and_times_move_the_answer_the_right_way(lone_page):
    question = TIMES | {"drawn": FLAT}
    base = ask(lone_page, question)
    dear = ask(lone_page, question | {"platforms": {"replicate": {"price": 2.0}}})
    assert bill(dear, "Replicate, private model") == pytest.approx(2 * bill(base, "Replicate, private model"))
    assert bill(dear, "Own GPU, 1 card") == bill(base, "Own GPU, 1 card")
    patient = ask(lone_page, question | {"platforms": {"replicate": {"idle_seconds": 600.0}}})
    assert bill(patient, "Replicate, private model") > bill(base, "Replicate, private model")
    slow = ask(lone_page, question | {"run_seconds": {"median": 4.8, "p95": 5.6}})
    for one, other in zip(base["settings"], slow["settings"], strict=False):
        assert other["p95_s"] > one["p95_s"]
    assert ask(lone_page, question | {"p95_seconds": 0.5})["cheapest"] is None
    assert ask(lone_page, question | {"card": "t4"})["without_card"] == ["Own GPU"]


@pytest.mark.parametrize(("per_day", "days"), [(0.1, 364), (1000, 98), (50_000, 7), (60_000, 5), (350_000, 1)])
def test_few_requests_are_drawn_for_more_weeks_and_many_for_fewer_days(lone_page, per_day, days):
    drawn = {"week": [float(hour % 24) for hour in range(168)], "requests_per_day": per_day}
    found = ask(lone_page, TIMES | {"drawn": drawn})
    assert found["days"] == days
    assert found["requests"] == pytest.approx(days * per_day, rel=0.01)
    assert found["requests"] <= MOST * 1.0001


def test_fewer_days_stand_for_all_seven():
    week = [float(day + 1) for day in range(7) for _ in range(24)]
    assert fewer_days(week, 1)[:24] == [4.0] * 24
    assert fewer_days(week, 7) == week
    assert np.asarray(fewer_days(week, 2))[[0, 24]].tolist() == [2.5, 6.0]
    assert DrawnWeek(week=fewer_days(week, 3), requests_per_day=1.0)


class HeldPlanner(Planner):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(SAMPLES)
        self.begun: list[bytes] = []
        self.go_on = threading.Event()

    def _answer(self, body):
        self.begun.append(body)
        self.go_on.wait(60)
        return super()._answer(body)


def request_of(body):
    async def receive():
        return {"type": "http.request", "body": body}

    headers = [(b"content-length", str(len(body)).encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_one_question_is_answered_at_a_time_and_only_the_newest_waits():
    bodies = [json.dumps(FEW | {"p95_seconds": float(k)}).encode() for k in range(1, 6)]

    async def play():
        planner = HeldPlanner()
        first = asyncio.create_task(planner.answer(request_of(bodies[0])))
        while not planner.begun:
            await asyncio.sleep(0.01)
        others = []
        for body in bodies[1:]:
            others.append(asyncio.create_task(planner.answer(request_of(body))))
            await asyncio.sleep(0)
        given_way = [answer.status_code for answer in await asyncio.gather(*others[:-1])]
        waiting = not others[-1].done()
        planner.go_on.set()
        answered = [answer.status_code for answer in await asyncio.gather(first, others[-1])]
        await planner.close()
        return given_way, waiting, answered, planner.begun

    assert asyncio.run(play()) == ([429, 429, 429], True, [200, 200], [bodies[0], bodies[-1]])


def test_without_the_extra_it_says_what_is_missing(tmp_path, monkeypatch):
    (tmp_path / "numba.py").write_text("raise ModuleNotFoundError('no numba', name='numba')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with run_page("http://127.0.0.1:9", "token") as url:
        assert call(url, "GET", "/page/planner.json") == (200, {"missing": "numba"})
        status, refusal = call(url, "POST", "/page/planner", json.dumps(FEW).encode())
        assert (status, refusal["detail"]) == (501, "The Planner needs numba: pip install 'easel[plan]'.")
        assert call(url, "GET", "/page/settings.json")[0] == 200
