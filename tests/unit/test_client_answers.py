"""Answers of a server: errors, files, logs."""

import base64

import pytest

from easel.local import client
from easel.local.console import LogView


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Prediction failed: Prediction failed: InputError: width: too large.", "width: too large."),
        ("Prediction failed: Prediction failed: ValueError: no", "ValueError: no"),
        (
            "worker setup failed: worker setup failed (slot 0016-45db): Setup failed: setup failed: SystemExit: no",
            "SystemExit: no",
        ),
        (
            "Input validation error: image or mask: https://a.example/b.png: no",
            "image or mask: https://a.example/b.png: no",
        ),
        ("worker setup failed: Setup failed: failed to load predictor: ImportError: a: b", "ImportError: a: b"),
    ],
)
def test_an_error_is_shown_without_what_the_server_puts_before_it(text, plain):
    assert client.plain_error(text) == plain


def test_a_lost_worker_is_explained():
    assert "lack of memory" in client.plain_error("Worker crashed")


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:5000/predictions", True),
        ("http://localhost:5000", True),
        ("http://[::1]:5000", True),
        ("http://127.0.0.1.example.com", False),
        ("https://example.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_only_this_machine_is_loopback(url, loopback):
    assert client.is_loopback(url) is loopback


def test_outputs_are_named_as_cog_names_them_and_replace_older_ones(tmp_path):
    def data_url(kind: str, content: bytes) -> str:
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    folder = tmp_path / "new" / "folder"
    client.save_output([data_url("webp", b"old")], folder, "output")
    saved = client.save_output([data_url("webp", b"1"), data_url("jpeg", b"2")], folder, "output")
    single = client.save_output(data_url("png", b"3"), folder, "apple")
    assert [*saved, single] == [str(folder / name) for name in ("output.0.webp", "output.1.jpg", "apple.png")]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "output.0.webp": b"1",
        "output.1.jpg": b"2",
        "apple.png": b"3",
    }
    assert client.save_output("https://example.com/a.png", folder, "output") == "https://example.com/a.png"


def test_a_log_that_arrives_late_is_not_shown_twice():
    shown: list[str] = []
    feed = client.LogFeed(shown.append)
    for logs in ("a\n", "a\nb\nc\n", "a\nb\n", "a\nb\nc\nd\n"):
        feed.add(logs)
    assert shown == ["a\n", "b\nc\n", "d\n"]


def test_a_piped_log_shows_each_bar_as_it_began_and_as_it_ended(capsys):
    view = LogView()
    for text in ("seed 7\n\r 0%|  | 0/4", "\r25%|# | 1/4", "\r50%|##| 2/4\r75%|##| 3/4", "\r100%|##| 4/4\n", "done"):
        view.write(text)
    view.close()
    assert capsys.readouterr().err.splitlines() == ["seed 7", "0%|  | 0/4", "100%|##| 4/4", "done"]
