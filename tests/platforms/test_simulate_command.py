"""`easel simulate` as it is called: page, JSON, exit codes, and what is refused."""

import json
from pathlib import Path

import pytest

from easel.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PROFILE = str(ROOT / "samples/profiles/z-image-turbo-l40s.yaml")
HOBBY = str(ROOT / "samples/traffic/hobby.csv")


def simulate(*arguments):
    return main(["simulate", *map(str, arguments)])


def test_the_page_has_all_and_needs_no_network(tmp_path, capsys):
    page = tmp_path / "report.html"
    assert simulate(HOBBY, "--profile", PROFILE, "-o", page) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{page}\n"
    assert "Replicate, public model" in printed.err
    assert "cheapest setting" in printed.err
    text = page.read_text()
    for wanted in ("Modal, scale to zero", "api-evangelist", "from least to most", 'id="volumes"', "Plotly.newPlot"):
        assert wanted in text
    assert "<script src" not in text
    assert "<link" not in text


def test_the_same_files_and_seed_give_the_same_page(tmp_path):
    one, other = tmp_path / "one.html", tmp_path / "other.html"
    for page in (one, other):
        assert simulate(HOBBY, "--profile", PROFILE, "--platform", "own-gpu", "-o", page) == 0
    assert one.read_bytes() == other.read_bytes()


def test_json_is_the_only_output_and_says_the_same(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert simulate(HOBBY, "--profile", PROFILE, "--platform", "modal", "--json", "--p95", "60") == 0
    study = json.loads(capsys.readouterr().out)
    assert {row["platform"] for row in study["settings"]} == {"modal"}
    assert study["cheapest"] in {f"Modal, {row['setting']}" for row in study["settings"]}
    assert study["requests"] == 517
    assert study["seed"] == 0
    assert list(tmp_path.iterdir()) == []


def test_no_setting_that_meets_the_wish_is_exit_status_1(tmp_path, capsys):
    assert (
        simulate(HOBBY, "--profile", PROFILE, "--platform", "own-gpu", "--p95", "0.1", "-o", tmp_path / "a.html") == 1
    )
    assert "No setting" in capsys.readouterr().err


def test_text_in_a_profile_is_text_on_the_page(tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        Path(PROFILE).read_text().replace("name: Z-Image", 'name: <script>alert("x")</script> & Z-Image')
    )
    assert simulate(HOBBY, "--profile", profile, "--platform", "own-gpu", "-o", tmp_path / "a.html") == 0
    text = (tmp_path / "a.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; Z-Image" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([HOBBY, "--profile", "missing.yaml"], "missing.yaml"),
        (["missing.csv", "--profile", PROFILE], "missing.csv"),
        ([HOBBY, "--profile", HOBBY], "hobby.csv"),
        ([PROFILE, "--profile", PROFILE], "requests_per_day"),
        ([HOBBY, "--profile", PROFILE, "--platform", "nimbus"], "nimbus"),
        ([HOBBY, "--profile", PROFILE, "--days", "3"], "--days 3"),
        (
            [HOBBY, "--profile", PROFILE, "--platform", "own-gpu", "-o", "/proc/none/report.html"],
            "-o /proc/none/report.html",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_words(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert simulate(*arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--p95", "0"], ["--days", "-1"], ["--p95", "soon"], ["--seed", "x"]])
def test_an_option_that_is_no_number_is_refused(option, capsys):
    with pytest.raises(SystemExit) as refused:
        simulate(HOBBY, "--profile", PROFILE, *option)
    assert refused.value.code == 2
