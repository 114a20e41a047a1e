"""script/push: the dry run, and what stops it before anything is pushed."""

import json

import pytest

from tests.publish.conftest import HOST
from tests.publish.trees import commit, git, steps_run, take_away_16_9
from tests.support.push_common import ALL_CHECKS, IMAGE, versions_of


def test_a_dry_run_prints_its_plan_passes_and_needs_nobody(shop):
    done = shop.push("--dry-run", PATH="/usr/bin:/bin", REPLICATE_API_TOKEN=None, REPLICATE_BASE_URL=None)
    assert done.returncode == 0, done.stderr
    assert steps_run(shop.root) == ALL_CHECKS
    assert "3. --staging: COGLET_WHEEL=pypi:0.23.1 cog push -f cog.emoji.yaml IMAGE-staging\n" in done.stdout
    assert "5. --release: COGLET_WHEEL=pypi:0.23.1 cog push -f cog.emoji.yaml IMAGE\n" in done.stdout
    assert done.stdout.endswith("Nothing has left this machine.\n")
    assert git(shop.root, "status", "--porcelain") == ""


def test_without_a_flag_it_is_a_dry_run_and_what_passed_is_not_repeated(shop):
    before, versions = shop.predictions(), versions_of(shop, "acme/emoji")
    first, second = shop.push(IMAGE), shop.push(IMAGE)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert f"compared with acme/emoji:{versions[0]}: 0 breaks, 0 other changes" in second.stderr
    assert second.stderr.count("passed already for this commit") == 3
    assert steps_run(shop.root) == ALL_CHECKS
    commit_of_more = shop.root / "more.txt"
    commit_of_more.touch()
    commit(shop.root, "more")
    assert shop.push(IMAGE).returncode == 0
    assert steps_run(shop.root) == ALL_CHECKS * 2
    assert shop.cog_calls() == []
    assert (shop.predictions(), versions_of(shop, "acme/emoji")) == (before, versions)


def test_a_check_that_fails_stops_it_and_only_the_rest_is_done_next_time(shop):
    fails = shop.root / ".cache" / "fail-test"
    fails.touch()
    done = shop.push("--dry-run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "script/test ended with exit code 1" in done.stderr
    fails.unlink()
    assert shop.push("--dry-run").returncode == 0
    assert steps_run(shop.root) == ["lint", "test", "test", "easel"]


def test_a_break_stops_it_and_names_the_callers_line(shop, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "shop.py").write_text(
        "import replicate\nreplicate.run(model, input=dict(prompt='a', aspect_ratio='16:9'))\n"
    )
    take_away_16_9(shop.root)
    for flag in ("--dry-run", "--staging"):
        shop.make_model("emoji-staging")
        done = shop.push(IMAGE, flag, "--callers", str(app))
        assert done.returncode == 1
        assert "aspect_ratio: the choice '16:9' is gone" in done.stderr
        assert 'samples/requests/dog-16x9.json:1: {"prompt": "a dog", "aspect_ratio": "16:9"' in done.stderr
        assert f"{app}/shop.py:2: replicate.run(" in done.stderr
        assert "--allow-break" in done.stderr
        assert done.stdout == ""
    assert shop.cog_calls() == []
    done = shop.push(IMAGE, "--allow-break")
    assert done.returncode == 0
    assert "samples/requests/dog-16x9.json:1:" in done.stderr


def test_a_tree_that_is_not_clean_is_refused_with_its_files(shop):
    (shop.root / "predict.py").write_text("changed")
    (shop.root / "left-over.py").touch()
    done = shop.push("--dry-run")
    assert done.returncode == 2
    assert "  predict.py\n  left-over.py\n" in done.stderr
    assert steps_run(shop.root) == []


def test_a_model_with_a_file_that_is_not_pinned_yet_is_refused_with_the_command_that_pins_it(shop):
    path = shop.root / "weights/z-image-turbo/weights.lock"
    lock = json.loads(path.read_text())
    lock["files"][1]["digest"] = None
    path.write_text(json.dumps(lock))
    commit(shop.root, "a new file in the lock")
    shop.make_model("emoji-staging")
    done = shop.push(IMAGE, "--staging", "-f", "cog.yaml")
    assert done.returncode == 2
    assert "Run `easel weights lock z-image-turbo`" in done.stderr
    assert steps_run(shop.root) == []


@pytest.mark.parametrize(
    ("arguments", "environment", "problem"),
    [
        (["--staging"], {}, "Which model? Name IMAGE"),
        ([IMAGE, "--staging"], {"PATH": "/usr/bin:/bin"}, "cog is not on the PATH"),
        ([IMAGE], {"REPLICATE_API_TOKEN": None}, "REPLICATE_API_TOKEN is not set"),
        ([f"{HOST}/acme/nowhere", "--staging"], {}, "There is no model acme/nowhere: make it on the site first"),
        ([IMAGE, "--release", "--deployment", "easel/nowhere"], {}, "There is no deployment easel/nowhere"),
        (["acme/emoji"], {}, "IMAGE is HOST/OWNER/NAME"),
        ([IMAGE, "--cases", "nowhere"], {}, "There is no request in"),
    ],
)
def test_what_would_stop_a_later_step_is_said_before_the_first(shop, arguments, environment, problem):
    shop.make_model("emoji-staging")
    done = shop.push(*arguments, **environment)
    assert done.returncode == 2
    assert problem in done.stderr
    if "--staging" in arguments or "--release" in arguments:
        assert steps_run(shop.root) == []


def test_a_wrong_token_is_a_sentence(shop):
    done = shop.push(IMAGE, REPLICATE_API_TOKEN="not-the-token")
    assert done.returncode == 1
    assert "Replicate answers 401" in done.stderr
    assert "Traceback" not in done.stderr
