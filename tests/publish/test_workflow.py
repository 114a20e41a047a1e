"""The workflow that calls script/push: pinned, with the least that it needs, and dry where nobody says otherwise."""

import re
import subprocess

import pytest
import yaml

from easel.schema import COG_VERSION
from tests.publish.trees import REPOSITORY

PATHS = sorted((REPOSITORY / ".github" / "workflows").glob("*.y*ml"))
PATH = REPOSITORY / ".github" / "workflows" / "push.yaml"
TOKEN = "${{ secrets.REPLICATE_API_TOKEN }}"


@pytest.fixture
def workflow():
    return yaml.safe_load(PATH.read_text())


@pytest.fixture
def job(workflow):
    (job,) = workflow["jobs"].values()
    return job


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_which_release_that_is(path):
    uses = re.findall(r"^\s*(?:- )?uses:(.*)$", path.read_text(), re.MULTILINE)
    assert uses
    for line in uses:
        assert re.fullmatch(r" [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_it_runs_by_hand_or_by_a_tag_alone_and_may_only_read(workflow, job):
    events = workflow[True]  # YAML 1.1 reads the key `on` so
    assert set(events) == {"workflow_dispatch", "push"}
    assert events["push"] == {"tags": ["v*"]}
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in job
    assert job["environment"] == "replicate"
    assert workflow["concurrency"] == {"group": "push", "cancel-in-progress": False}


def test_by_hand_it_is_dry_unless_told_otherwise(workflow):
    inputs = workflow[True]["workflow_dispatch"]["inputs"]
    assert inputs["how_far"]["options"] == ["dry-run", "staging", "release"]
    assert inputs["how_far"]["default"] == "dry-run"
    assert inputs["allow_break"]["default"] is False


def test_only_the_steps_that_need_the_secret_get_it(workflow, job):
    assert "secrets" not in str(workflow.get("env", "")) + str(job["env"])
    given = {step["name"]: step["env"] for step in job["steps"] if "secrets." in str(step)}
    assert set(given) == {"Log Cog in", "Push"}
    assert all(env["REPLICATE_API_TOKEN"] == TOKEN for env in given.values())
    checkout = job["steps"][0]
    assert checkout["with"]["persist-credentials"] is False


def test_no_text_of_others_gets_into_a_shell(job):
    assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


def test_everything_ends_by_itself(job):
    assert job["timeout-minutes"] <= 120
    assert all(0 < step["timeout-minutes"] <= 120 for step in job["steps"] if "run" in step)


def test_cog_is_the_release_that_is_pinned_here(job):
    assert job["env"]["COG_VERSION"] == COG_VERSION


@pytest.mark.parametrize(
    ("variables", "arguments"),
    [
        ({"HOW_FAR": "dry-run"}, "-f cog.yaml --dry-run"),
        ({"HOW_FAR": "release", "DEPLOYMENT": "me/icons"}, "-f cog.yaml --release --deployment me/icons"),
        ({"HOW_FAR": "staging", "ALLOW_BREAK": "true"}, "-f cog.yaml --staging --allow-break"),
    ],
)
def test_it_calls_script_push_with_what_was_asked(job, tmp_path, variables, arguments):
    (step,) = [step for step in job["steps"] if step.get("name") == "Push"]
    program = tmp_path / "script" / "push"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho $#: $*\n")
    program.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "COG_FILE": "cog.yaml", "DEPLOYMENT": "", "ALLOW_BREAK": "", "IMAGE": "host/me/a"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, cwd=tmp_path, env=env | variables, capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(arguments.split()) + 1}: host/me/a {arguments}\n"
    done = subprocess.run(command, cwd=tmp_path, env=env | variables | {"IMAGE": ""}, capture_output=True, check=False)
    assert done.returncode != 0
