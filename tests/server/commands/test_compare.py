"""`easel compare`: two servers over the same prompts, distances, a page, and an exit status."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from easel.cli.main import main
from easel.publish.quality import EQUAL_DB, compare_images, load_lpips, psnr
from tests.support.small_emoji import EMOJI, small_emoji


class Lpips:
    """Has the interface of lpips.LPIPS, whose weights come from a network: the mean difference of the images."""

    def __init__(self, net, verbose):
        assert net == "alex"

    def eval(self):
        return self

    def __call__(self, a, b):
        return (a - b).abs().mean()


def im2tensor(pixels):
    import torch

    assert pixels.dtype == np.uint8
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.fixture
def lpips(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Lpips, im2tensor=im2tensor))


@pytest.fixture
def root(tmp_path):
    small_emoji(tmp_path / "weights" / "emoji")
    shutil.copy(EMOJI.parents[1] / "predict.py", tmp_path)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "compare.txt").write_text("a dog\n\n<b>a cat</b>\n")
    return tmp_path


@pytest.fixture
def compare(root, monkeypatch, capsys):
    """Runs the command in this process; returns its exit status, its output and its log."""
    for name in ("EASEL_COMPILE", "EASEL_ATTENTION", "EASEL_GO_FAST", "EASEL_MEMORY", "EASEL_MODEL"):
        monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.setenv("EASEL_CACHE_DIR", str(root / "cache"))

    def run(*arguments):
        code = main(["compare", "--root", str(root), "-o", str(root / "out"), *arguments])
        return code, *capsys.readouterr()

    return run


def test_two_servers_draw_and_the_page_shows_each_pair(compare, root, lpips):
    code, output, log = compare("--memory", "float8")
    result, page = json.loads(output), (root / "out" / "index.html").read_text()
    assert (code, result["images"], result["EASEL_MEMORY"]) == (0, 2, "float8")
    assert result["psnr_min_db"] < EQUAL_DB
    assert 0 < result["lpips_mean"] <= result["lpips_limit"]
    assert {type(result["exact_s"]), type(result["other_s"])} == {float}
    assert page.count("<figure>") == page.count("data:image/png;base64,") == 4
    assert "&lt;b&gt;a cat&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "other 2/2: <b>a cat</b>" in log


def test_a_mean_lpips_above_the_limit_is_a_failure(compare, root, lpips, monkeypatch):
    def draw_all(args, model, environ, prompts, folder):
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), "white" if environ else "black").save(folder / "0.png")
        return [folder / "0.png"] * len(prompts), 1.0

    monkeypatch.setattr("easel.cli.compare.draw_all", draw_all)
    code, output, _ = compare("--go-fast")
    assert (code, json.loads(output)["lpips_mean"]) == (1, 2.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--go-fast, --memory MODE"),
        (("--go-fast", "--memory", "turns"), "unset one of them"),
        (("no-model", "--go-fast"), "There is no model 'no-model'"),
        (("--go-fast", "--prompts", "/no/such/file"), "/no/such/file cannot be read"),
        (("--go-fast", "--prompts", "/dev/null"), "has no prompt"),
    ],
)
def test_what_cannot_be_compared_is_said_before_a_server_starts(compare, arguments, words):
    code, _, said = compare(*arguments)
    assert code
    assert words in said


def test_without_lpips_its_absence_is_explained(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lpips", None)  # as where it is not installed
    metric, reason = load_lpips()
    assert metric is None
    assert "pip install lpips" in reason
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (pair,) = compare_images(["dog"], [tmp_path / "a.png"], [tmp_path / "a.png"], metric)
    assert (pair.psnr, pair.lpips) == (EQUAL_DB, None)


def test_psnr_is_that_of_the_textbook():
    black, grey = (Image.new("RGB", (4, 4), (value, value, value)) for value in (0, 16))
    assert psnr(black, grey) == pytest.approx(20 * np.log10(255 / 16))
    assert psnr(grey, grey) == EQUAL_DB
