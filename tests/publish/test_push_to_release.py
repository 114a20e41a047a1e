"""script/push: staging, release, and breaks in between."""

import json
import signal
import time

from tests.publish.conftest import HOST
from tests.publish.trees import CASES, git, keep_one_case, steps_run
from tests.support.api_process import ask
from tests.support.push_common import ALL_CHECKS, IMAGE, versions_of


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
