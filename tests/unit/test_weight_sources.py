"""What a lock's `source` may say, and that nothing of it that is secret is ever shown."""

from pathlib import Path

import pytest

from easel.errors import WeightsError
from easel.models import load_model
from easel.weights.manifest import parse_manifest, read_manifest
from easel.weights.sources import HubFile, LocalFile, WebFile, parse_weight_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"hf://owner/name@{COMMIT}/vae.safetensors", HubFile("owner/name", COMMIT, "vae.safetensors")),
        (f"hf://O.w-n_er/n.1@{COMMIT}/a/b..c/d-1.json", HubFile("O.w-n_er/n.1", COMMIT, "a/b..c/d-1.json")),
        ("https://files.example/a/b.bin?key=1", WebFile("https://files.example/a/b.bin?key=1")),
        ("https://files.example:8443/a", WebFile("https://files.example:8443/a")),
        ("http://127.0.0.1:5000/a", WebFile("http://127.0.0.1:5000/a")),
        ("http://localhost/a", WebFile("http://localhost/a")),
        ("http://[::1]:80/a", WebFile("http://[::1]:80/a")),
        ("file:/mnt/a b.safetensors", LocalFile(Path("/mnt/a b.safetensors"))),
        ("file:///mnt/a", LocalFile(Path("/mnt/a"))),
        ("file:../shared/a", LocalFile(Path("../shared/a"))),
    ],
)
def test_source_is_parsed(text, source):
    assert parse_weight_source(text) == source


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is of no known kind"),
        ("owner/name", "is of no known kind"),
        ("ftp://files.example/a", "is of no known kind"),
        ("HF://owner/name", "is of no known kind"),
        ("hf://owner/name/vae.safetensors", "does not name a file at one commit"),
        ("hf://owner/name@main/vae.safetensors", "does not name a file at one commit"),
        (f"hf://owner/name@{COMMIT[:39]}/a", "does not name a file at one commit"),
        (f"hf://owner/name@{COMMIT.upper()}/a", "does not name a file at one commit"),
        (f"hf://name@{COMMIT}/a", "does not name a file at one commit"),
        (f"hf://../name@{COMMIT}/a", "does not name a file at one commit"),
        (f"hf://owner/name@{COMMIT}/", "does not name a file at one commit"),
        (f"hf://owner/name@{COMMIT}/a%2fb", "has a filename that cannot be one"),
        (f"hf://owner/name@{COMMIT}/../a", "has a filename that cannot be one"),
        (f"hf://owner/name@{COMMIT}/a//b", "has a filename that cannot be one"),
        (f"hf://owner/name@{COMMIT}//etc/passwd", "has a filename that cannot be one"),
        (f"hf://owner/name@{COMMIT}/a\\b", "has a filename that cannot be one"),
        ("http://files.example/a", "is not encrypted: use https://"),
        ("http://127.0.0.1.files.example/a", "is not encrypted: use https://"),
        ("http://2130706433/a", "is not encrypted: use https://"),
        ("https:///a", "is not a URL"),
        ("https://files.example:port/a", "is not a URL"),
        ("https://[::1/a", "is not a URL"),
        ("https://files.example/a b", "is not a URL"),
        ("https://files.example/a\nHost: b", "is not a URL"),
        ("file:", "names no file"),
        ("file://server/a", "names another machine"),
    ],
)
def test_what_is_no_source_is_refused_with_what_is_accepted(text, problem):
    with pytest.raises(WeightsError) as caught:
        parse_weight_source(text)
    assert str(caught.value).startswith(f"source {text!r} {problem}. Accepted: hf://owner/name@REVISION/filename")


def test_no_secret_is_shown():
    url = "https://files.example/a?signature=SECRET"
    assert "SECRET" not in repr(parse_weight_source(url)) + parse_weight_source(url).label
    for refused in ("https://user:SECRET@files.example/a", "http://files.example/a?signature=SECRET"):
        with pytest.raises(WeightsError) as caught:
            parse_weight_source(refused)
        assert "SECRET" not in str(caught.value)


def test_a_lock_with_a_source_that_is_none_is_refused():
    text = '{"files": [{"path": "a", "size": null, "digest": null, "source": "hf://owner/name@main/a"}]}'
    with pytest.raises(WeightsError, match="weights.lock: a: source 'hf://owner/name@main/a' does not name a file"):
        parse_manifest(text)


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in WEIGHTS.glob("*/model.yaml")), ids=lambda path: path.name
)
def test_every_model_of_this_repository_has_a_lock_that_can_be_read(folder):
    assert load_model(folder).name == folder.name
    for file in read_manifest(folder).files:
        assert (folder / file.path).is_file() if file.source is None else parse_weight_source(file.source)
