"""script/push as a whole: a tree, the real API over a real server, Replicate's own client, and a stand-in for `cog`."""

import json
import signal
import time

import pytest

from tests.publish.conftest import HOST, Shop
from tests.publish.trees import CASES, commit, git, keep_one_case, steps_run, take_away_16_9
from tests.support.api_process import ask

IMAGE = f"{HOST}/acme/emoji"
ALL_CHECKS = ["lint", "test", "easel"]


def versions_of(shop: Shop, model: str) -> list[str]:
    return [version["id"] for version in ask(shop.api, "GET", f"/v1/models/{model}/versions")[1]["results"]]


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


def test_a_push_that_was_broken_off_goes_on_to_the_release_and_does_nothing_twice(shop):
    shop.make_model("emoji-staging")
    before = len(shop.predictions())
    live = versions_of(shop, "acme/emoji")[0]
    deployment = {
        **{"name": "icons", "model": "acme/emoji", "version": live, "hardware": "cpu"},
        **{"min_instances": 0, "max_instances": 1},
    }
    assert ask(shop.api, "POST", "/v1/deployments", deployment)[0] == 200

    def ended(count):
        """Whether so many predictions are in the state with their outcome."""
        return lambda: sum(path.read_text().count('"predict_s"') for path in shop.states()) >= count

    assert shop.push_until(ended(1), signal.SIGINT, IMAGE, "--staging") == 130
    assert shop.push_until(ended(3), signal.SIGKILL, IMAGE, "--staging") == -signal.SIGKILL
    assert len(shop.cog_calls()) == 1

    staged = shop.push(IMAGE, "--staging")
    assert staged.returncode == 0, staged.stderr
    assert f"{IMAGE}-staging: pushed already, version " in staged.stderr
    # Each case twice on the new version and once on the live one. A signal may fall between a request and its note.
    assert 3 * len(CASES) <= len(shop.predictions()) - before <= 3 * len(CASES) + 2
    ran = len(shop.predictions())
    for case in CASES:
        assert f"  {case}: " in staged.stderr
    assert shop.cog_calls() == [["push", "-f", "cog.emoji.yaml", f"{IMAGE}-staging", "pypi:0.23.1"]]
    sheet = shop.root / staged.stdout.strip()
    assert sheet.name == "contact-sheet.html"
    assert sheet.read_text().count("the same pixels as before") == len(CASES)
    assert git(shop.root, "status", "--porcelain") == ""

    released = shop.push(IMAGE, "--release", "--deployment", "easel/icons")
    assert released.returncode == 0, released.stderr
    assert released.stderr.count("(already run)") == len(CASES)
    assert [call[3] for call in shop.cog_calls()] == [f"{IMAGE}-staging", IMAGE]
    version = versions_of(shop, "acme/emoji")[0]
    assert version != live
    assert released.stdout.splitlines()[-1] == f"acme/emoji:{version}"
    assert ask(shop.api, "GET", "/v1/deployments/easel/icons")[1]["current_release"]["version"] == version
    record = (shop.root / "CHANGELOG.md").read_text()
    assert f"- version `{version}`, commit `{git(shop.root, 'rev-parse', 'HEAD').strip()}`" in record
    assert f"- schema, since `{live}`: no difference\n" in record
    assert record.count("safetensors") == 3
    assert git(shop.root, "status", "--porcelain") == "?? CHANGELOG.md\n"

    again = shop.push(IMAGE, "--release", "--deployment", "easel/icons")
    assert again.returncode == 0, again.stderr
    assert "has this version already" in again.stderr
    assert ask(shop.api, "GET", "/v1/deployments/easel/icons")[1]["current_release"]["number"] == 2
    assert (len(shop.cog_calls()), len(shop.predictions())) == (2, ran)
    assert (shop.root / "CHANGELOG.md").read_text() == record
    assert steps_run(shop.root) == ALL_CHECKS


def test_a_first_version_and_a_cog_push_that_fails(shop):
    for name in ("fresh", "fresh-staging"):
        shop.make_model(name)
    keep_one_case(shop.root)
    fails = shop.root.parent / "cog-fails"
    fails.touch()
    image = f"{HOST}/acme/fresh"
    done = shop.push(image, "--staging")
    assert done.returncode == 1
    assert "cog: the build failed" in done.stderr
    assert "cog push ended with exit code 1" in done.stderr
    fails.unlink()
    done = shop.push(image, "--release")
    assert done.returncode == 0, done.stderr
    assert "acme/fresh has no version yet: there are no callers to break" in done.stderr
    assert [call[3] for call in shop.cog_calls()] == [f"{image}-staging", f"{image}-staging", image]
    assert "- schema: the first version\n" in (shop.root / "CHANGELOG.md").read_text()

    # Killed between the push and its note: what is live by now is not taken for what was live before.
    (state,) = shop.states()
    values = json.loads(state.read_text())
    assert values["release"].pop("version")
    state.write_text(json.dumps(values))
    (shop.root / "CHANGELOG.md").unlink()
    done = shop.push(image, "--release")
    assert done.returncode == 0, done.stderr
    assert len(shop.cog_calls()) == 3
    assert "- schema: the first version\n" in (shop.root / "CHANGELOG.md").read_text()
    (shop.root / "CHANGELOG.md").unlink()

    elsewhere = shop.push("elsewhere.test/acme/fresh", "--staging")
    assert elsewhere.returncode == 2
    assert f"image was {image} and is elsewhere.test/acme/fresh" in elsewhere.stderr


def test_a_cog_that_outlives_its_push_keeps_the_next_one_from_starting(shop):
    for name in ("slow", "slow-staging"):
        shop.make_model(name)
    keep_one_case(shop.root)
    image = f"{HOST}/acme/slow"
    waits = shop.root.parent / "cog-waits"
    waits.touch()
    assert shop.push_until(shop.cog_calls, signal.SIGKILL, image, "--staging") == -signal.SIGKILL
    done = shop.push(image, "--staging")
    assert done.returncode == 2
    assert "Another push of this tree is running, or the cog that it started" in done.stderr
    waits.unlink()
    for _ in range(500):
        if versions_of(shop, "acme/slow-staging"):
            break
        time.sleep(0.02)
    done = shop.push(image, "--staging")
    assert done.returncode == 0, done.stderr
    assert len(shop.cog_calls()) == 2  # nobody saw how the first one ended


def test_a_case_that_is_wrong_stops_the_release(shop):
    """The tree says that it can make images which the server that was pushed cannot."""
    for name in ("wrong", "wrong-staging"):
        shop.make_model(name)
    model = shop.root / "weights" / "emoji" / "model.yaml"
    model.write_text(model.read_text().replace("native_area: 16384 # 128 x 128", "native_area: 9216"))
    keep_one_case(shop.root)
    done = shop.push(f"{HOST}/acme/wrong", "--release")
    assert done.returncode == 1
    assert "red-apple: red-apple.first.0.webp is 128 x 128, and 96 x 96 was asked for" in done.stderr
    assert "nothing was released" in done.stderr
    assert len(shop.cog_calls()) == 1
    assert versions_of(shop, "acme/wrong") == []
