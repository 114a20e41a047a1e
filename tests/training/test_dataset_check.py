"""`easel dataset check` as it is called: table, JSON, page, exit codes, addresses."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from PIL import Image

from easel.cli.main import main
from easel.errors import FetchError
from easel.net.guard import Network
from easel.training import source
from easel.training.source import local_dataset
from tests.support.fault_server import Answer, FaultServer
from tests.training.sets import image_bytes, images
from tests.unit.archives.common import make_zip

OURS = {"html", "meta", "title", "style", "h1", "h2", "p", "main", "figure", "img", "figcaption", "table", "tr", "td"}
HOSTILE = "<img src=x onerror=alert(1)>&\"'\x1b[31m\u202e"


def check(*arguments):
    return main(["dataset", "check", *map(str, arguments)])


@pytest.fixture
def write(tmp_path):
    def write(members):
        path = tmp_path / "images.zip"
        path.write_bytes(make_zip(members))
        return path

    return write


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def thumbnails(page):
    sources = [attrs["src"] for tag, attrs in Tags(page.read_text()).seen if tag == "img"]
    return [Image.open(io.BytesIO(base64.b64decode(one.removeprefix("data:image/jpeg;base64,")))) for one in sources]


def test_a_sound_set_is_exit_status_0_with_a_table_and_a_page(write, tmp_path, capsys):
    archive = write([("a.png", image_bytes(4095, (300, 200))), *images(3), ("0001.txt", b"a red one")])
    page = tmp_path / "page.html"
    assert check(archive, "-o", page) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{page}\n"
    lines = [re.split(r" {2,}", line) for line in printed.err.splitlines()]
    assert lines[0] == ["name", "size", "bucket", "caption", "fault"]
    assert lines[1][:4] == ["0000.png", "40 x 32", "144 x 112", "TOK"]
    assert "enlarged 3.6 times" in lines[1][4]
    assert lines[2][3] == "TOK a red one"
    assert lines[4] == ["a.png", "300 x 200", "160 x 112", "TOK"]
    assert lines[-1] == ["4 images in 2 buckets; resolution 128."]
    assert len(thumbnails(page)) == 4


def test_the_page_shows_what_is_cut_off(write, tmp_path):
    page = tmp_path / "page.html"
    check(write([("a.png", image_bytes(4095, (4000, 1000))), *images(3, first=1)]), "-o", page, "--resolution", 96)
    wide = thumbnails(page)[-1]
    middle, left, right = (wide.getpixel((x, wide.height // 2))[0] for x in (wide.width // 2, 1, wide.width - 2))
    assert middle > 220
    assert max(left, right) < 90


def test_json_is_all_of_the_output_and_no_page_is_written(write, tmp_path, capsys, monkeypatch):
    archive = write([("a.png", image_bytes(7, (300, 200))), *images(2), ("b.png", image_bytes(1)), ("c", b"x")])
    monkeypatch.chdir(tmp_path)
    assert check(archive, "--json", "--trigger-word", "SKS", "--caption-prefix", "a photo of") == 1
    report = json.loads(capsys.readouterr().out)
    assert [image["name"] for image in report["images"]] == ["0000.png", "0001.png", "a.png"]
    last = report["images"][-1]
    assert (last["size"], last["bucket"], last["caption"]) == ([300, 200], [160, 112], "a photo of SKS")
    assert last["crop"] == [7.14, 0, 292.86, 200]
    assert report["problems"] == [
        {"name": "c", "fault": "the file is plain text; JPEG, PNG, WebP, GIF, AVIF and HEIC are accepted."}
    ]
    assert report["duplicates"] == [{"name": "b.png", "same_as": "0001.png"}]
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]


def test_names_and_captions_are_text_on_the_page_and_in_the_table(write, tmp_path, capsys):
    page = tmp_path / "page.html"
    members = [*images(3), ("0001.txt", HOSTILE.encode()), (f"{HOSTILE}.png", image_bytes(9)), (HOSTILE, b"\x89PNG")]
    assert check(write(members), "-o", page) == 1
    tags = Tags(page.read_text())
    assert {tag for tag, _ in tags.seen} <= OURS
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for tag, attrs in tags.seen if tag == "img")
    assert not any(name.startswith("on") for _, attrs in tags.seen for name in attrs)
    assert "<img src=x onerror=alert(1)>" in tags.text
    for text in (page.read_text(), capsys.readouterr().err):
        assert all(character.isprintable() for character in text.replace("\n", ""))


def test_a_set_that_cannot_be_used_is_exit_status_2(write, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check(write([*images(2), ("c.png", b"GIF89a")])) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "at least 3 images" in printed.err
    assert "c.png: the GIF file is truncated or damaged" in printed.err
    assert not (tmp_path / "dataset.html").exists()


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["--resolution", "100"], "resolution must be a multiple of 16 from 64 to 192 with emoji, not 100."),
        (["--resolution", "4096", "--model", "z-image-turbo"], "from 64 to 1448 with z-image-turbo"),
        (["--trigger-word", "a\nb"], "trigger_word must be"),
        (["-o", "/dev/null/page.html"], "cannot be written"),
    ],
)
def test_bad_options_are_refused(write, capsys, arguments, phrase):
    assert check(write(images(3)), *arguments) == 2
    assert phrase in capsys.readouterr().err


def test_a_folder_and_the_flagships_resolution(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in images(3):
        (folder / name).write_bytes(data)
    assert check(folder, "--model", "z-image-turbo", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["resolution"], report["images"][0]["bucket"]) == (1024, [1152, 912])


def test_an_address_of_this_machine_is_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for address in ("https://127.0.0.1/a.zip?token=secret", "http://example.com/a.zip", "file:///etc/passwd"):
        assert check(address) != 0
        assert "secret" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_address_is_fetched_to_a_file_that_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with FaultServer() as server:
        server.routes["/a.zip?key=1"] = Answer(body=b"the archive")
        address = f"{server.url}/a.zip?key=1"
        with local_dataset(address, print, Network(allow_loopback=True)) as path:
            assert path.read_bytes() == b"the archive"
        monkeypatch.setattr(source, "MAX_FETCHED", 10)
        refused = pytest.raises(FetchError, match="more than 10 bytes")
        with refused as caught, local_dataset(address, print, Network(allow_loopback=True)):
            pass
    assert "key" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_help_teaches_and_the_command_needs_no_torch():
    program = """
import sys
from easel.cli.main import main
try:
    main(["dataset", "check", "--help"])
finally:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    for wanted in ("examples:", "easel dataset check images.zip", "exit status", "--trigger-word", "dog.txt"):
        assert wanted in done.stdout
