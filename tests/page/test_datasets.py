"""The check of a training's images by the page's server, without a browser."""

import asyncio
import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from starlette.requests import Request

from easel.page import datasets
from easel.page.datasets import Datasets
from tests.page.questions import call

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def archive(count=3, **others):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for k in range(count):
            image = io.BytesIO()
            Image.new("RGB", (200, 120), (40 * k, 90, 20)).save(image, "PNG")
            packed.writestr(f"set/{k}.png", image.getvalue())
        for name, content in others.items():
            packed.writestr(f"set/{name}", content)
    return out.getvalue()


def test_the_report_is_that_of_the_command_with_thumbnails(lone_page):
    content = archive(4, **{"0.txt": "a hat", "broken.png": b"\x89PNG\r\n\x1a\nno"})
    status, report = call(
        lone_page, "POST", "/page/dataset?model=emoji&trigger_word=SKS&caption_suffix=,+flat", content
    )
    assert status == 200, report
    assert [one["caption"] for one in report["images"]] == ["SKS a hat, flat", *["SKS, flat"] * 3]
    assert report["resolution"] == 128
    assert report["summary"].startswith("4 images in 1 bucket, 1 file left out")
    assert [one["name"] for one in report["problems"]] == ["set/broken.png"]
    assert all(one["thumbnail"].startswith("data:image/jpeg;base64,") for one in report["images"])
    assert report["images"][0]["bucket"] != report["images"][0]["size"]


def test_a_model_that_is_not_known_here_has_the_sizes_of_most(lone_page):
    status, report = call(lone_page, "POST", "/page/dataset?model=flux-trainer&resolution=512,768", archive())
    assert (status, report["resolution"]) == (200, 768)
    assert call(lone_page, "POST", "/page/dataset?model=..%2Femoji", archive())[1]["resolution"] == 1024


@pytest.mark.parametrize(
    ("query", "content", "words"),
    [
        ("", b"no archive", "input_images must be a zip or tar"),
        ("", archive(2), "2 "),
        ("?trigger_word=", archive(), "trigger_word must be"),
        ("?resolution=99999", archive(), "resolution must be from 64"),
        ("?resolution=wide", archive(), "resolution must be numbers"),
        ("?folder=/etc", archive(), "Only model, trigger_word"),
    ],
)
def test_what_cannot_be_trained_on_is_an_error_in_words(lone_page, query, content, words):
    status, document = call(lone_page, "POST", f"/page/dataset{query}", content)
    assert status == 422
    assert words in document["detail"]
    assert "Traceback" not in document["detail"]
    assert "/tmp" not in document["detail"]


def asked(content, length=None):
    sent = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive():
        return next(sent)

    headers = [(b"content-length", str(len(content) if length is None else length).encode())]
    return Request({"type": "http", "method": "POST", "query_string": b"", "headers": headers}, receive)


def test_an_archive_that_is_too_large_is_not_read():
    answer = asyncio.run(Datasets(WEIGHTS).answer(asked(b"", datasets.MAX_BODY_BYTES + 1)))
    assert answer.status_code == 413


def test_newer_images_end_the_check_of_older_ones():
    async def two():
        checks = Datasets(WEIGHTS)
        first = asyncio.create_task(checks.answer(asked(archive(3))))
        while checks._process is None:
            await asyncio.sleep(0.01)
        process = checks._process
        second = await checks.answer(asked(archive(5)))
        return await first, second, process.returncode

    first, second, code = asyncio.run(two())
    assert (first.status_code, second.status_code) == (429, 200)
    assert code == -9
    assert len(json.loads(second.body)["images"]) == 5


def test_a_check_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(datasets, "CHECK_S", 0.0)
    answer = asyncio.run(Datasets(WEIGHTS).answer(asked(archive())))
    assert answer.status_code == 422
    assert b"The check took over" in answer.body
