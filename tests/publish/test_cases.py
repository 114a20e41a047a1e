"""Step 4 without a server: what is expected of an answer, what is run again and what is not, and the page."""

import base64
import io
from types import SimpleNamespace

import pytest
from PIL import Image

from easel.errors import InputError
from easel.local.client import ServerError
from easel.models import load_model
from easel.publish.cases import read_cases
from easel.publish.replicate_api import RefusedError, UnreadableError
from easel.publish.staging import Staging, run_all
from easel.publish.state import State
from tests.publish.trees import REPOSITORY

MODEL = load_model(REPOSITORY / "weights" / "emoji")
REQUESTS = REPOSITORY / "samples" / "requests"


def picture(size=(128, 128), kind="WEBP", colour="red"):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


class Api:
    """Answers each prediction with the next of `answers`: an output, an error's text, or an exception to raise."""

    poll_s = 0.0

    def __init__(self, *answers):
        self.answers = list(answers)
        self.started = []
        self.predictions = {}

    def start(self, version, inputs):
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        self.started.append(version)
        failed = isinstance(answer, str)
        prediction = SimpleNamespace(
            id=f"p{len(self.started)}",
            status="failed" if failed else "succeeded",
            output=None if failed else answer,
            error=answer if failed else None,
            metrics={"predict_time": 0.5},
        )
        self.predictions[prediction.id] = prediction
        return SimpleNamespace(**(vars(prediction) | {"status": "starting", "output": None}))

    def prediction(self, name):
        return self.predictions.get(name)

    def read(self, url):
        return base64.b64decode(url.partition(",")[2])


def run(tmp_path, api, live=None, names=("red-apple",)):
    by_name = {case.name: case for case in read_cases(REQUESTS, MODEL)}
    cases = [by_name[name] for name in names]
    state = State(tmp_path / "state.json")
    staging = Staging(api, "new", live, 0.001, state, tmp_path / "work", REPOSITORY / "samples" / "outputs")
    return run_all(staging, cases, "acme/emoji")


def test_what_a_case_must_give_is_planned_from_its_request():
    plans = {case.name: case.plan for case in read_cases(REQUESTS, MODEL)}
    assert (plans["dog-16x9"].width, plans["dog-16x9"].height, plans["dog-16x9"].output_format) == (176, 96, "png")
    assert (len(plans["four-robots"].seeds), plans["four-robots"].output_format) == (4, "jpg")
    assert (plans["tall-rocket"].width, plans["tall-rocket"].height) == (96, 176)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"prompt": "a"}', "names no seed"),
        ('{"prompt": "a", "seed": 1, "colour": 2}', "emoji cannot make this: .*colour"),
        ('{"prompt": "a", "seed": 1, "width": 9999, "height": 64}', "emoji cannot make this: .*width"),
        ('{"prompt": "a", "seed": 1, "image": "@nowhere.png"}', "image: cannot read"),
    ],
)
def test_a_case_that_cannot_be_is_refused_before_anything_is_run(tmp_path, text, problem):
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_cases(tmp_path, MODEL)
    with pytest.raises(InputError, match="There is no request"):
        read_cases(tmp_path / "empty", MODEL)


def test_a_case_is_run_twice_and_not_again(tmp_path):
    lines, problems = run(tmp_path, Api([picture()], [picture()]))
    assert problems == []
    assert lines == ["red-apple: 1 x 128 x 128 webp, 0.50 s, USD 0.000500"]
    again = Api()
    assert run(tmp_path, again) == (lines, problems)
    assert again.started == []


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([[picture()], [picture(colour="blue")]], "the same seed gave other images the second time"),
        ([[picture(), picture()]] * 2, "2 images, and 1 were asked for"),
        ([[picture(kind="PNG")]] * 2, "red-apple.first.0.png is PNG, and webp was asked for"),
        ([[picture((64, 64))]] * 2, "red-apple.first.0.webp is 64 x 64, and 128 x 128 was asked for"),
        ([["data:image/webp;base64,UklGRg=="]] * 2, "red-apple.first.0.webp is no image"),
        (["out of memory", [picture()]], "failed: out of memory"),
    ],
)
def test_what_is_wrong_is_said_and_run_again(tmp_path, answers, problem):
    assert f"red-apple: {problem}" in run(tmp_path, Api(*answers))[1]
    assert problem in (tmp_path / "work" / "contact-sheet.html").read_text()
    mended = Api([picture()], [picture()])
    assert run(tmp_path, mended)[1] == []
    assert len(mended.started) == 2


def test_what_was_broken_off_is_taken_up_by_its_id(tmp_path):
    api = Api([picture()], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, api)
    state = State(tmp_path / "state.json")
    assert state.get("cases", "new", "red-apple", "first", "status") == "succeeded"
    state.set("cases", "new", "red-apple", "second", value={"prediction": "p1"})  # begun, and not seen to its end
    assert run(tmp_path, api)[1] == []
    assert len(api.started) == 1


def test_what_is_gone_from_the_api_is_run_again(tmp_path):
    State(tmp_path / "state.json").set("cases", "new", "red-apple", "first", value={"prediction": "long-gone"})
    api = Api([picture()], [picture()])
    assert run(tmp_path, api)[1] == []
    assert len(api.started) == 2


def test_old_pictures_come_from_the_live_version_or_the_samples(tmp_path):
    names = ("red-apple", "four-robots")
    four = [picture(kind="JPEG")] * 4
    run(tmp_path, Api([picture()], [picture()], four, four), names=names)
    sheet = (tmp_path / "work" / "contact-sheet.html").read_text()
    assert sheet.count("<img") == (1 + 4) * 2
    assert "samples/outputs" in sheet

    api = Api([picture()], four)
    run(tmp_path, api, live="old", names=names)
    assert api.started == ["old", "old"]
    sheet = (tmp_path / "work" / "contact-sheet.html").read_text()
    assert sheet.count("the same pixels as before") == 2
    assert "src" + '="http' not in sheet  # one file, to be sent and kept


def test_what_the_live_version_cannot_make_is_no_fault_of_the_new_one(tmp_path):
    api = Api([picture()], [picture()], RefusedError("422: there is no input seed"))
    assert run(tmp_path, api, live="old")[1] == []
    assert "there is no input seed" in (tmp_path / "work" / "contact-sheet.html").read_text()


def test_the_sheet_shows_what_ran_before_a_break(tmp_path):
    with pytest.raises(ServerError):
        run(tmp_path, Api([picture()], [picture()], ServerError("gone")), names=("red-apple", "dog-16x9"))
    assert "1 of 1 cases are right" in (tmp_path / "work" / "contact-sheet.html").read_text()


def test_an_answer_that_cannot_be_read_is_not_asked_for_again(tmp_path):
    api = Api([picture()], [picture()])
    known = api.prediction

    def unreadable(name):
        raise UnreadableError("aborted is no status")

    api.prediction = unreadable
    with pytest.raises(UnreadableError):
        run(tmp_path, api)
    api.prediction = known
    api.answers = [[picture()]] * 2
    assert run(tmp_path, api)[1] == []
    assert len(api.started) == 3


def test_a_server_that_is_gone_is_no_refusal(tmp_path):
    with pytest.raises(ServerError):
        run(tmp_path, Api([picture()], [picture()], ServerError("gone")), live="old")
