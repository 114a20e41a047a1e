"""The workflow that calls script/push: pinned, with the least that it needs, and dry where nobody says otherwise."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from easel.schema.openapi import COG_VERSION
from tests.publish.trees import REPOSITORY

GITHUB = REPOSITORY / ".github"
PATHS = sorted((GITHUB / "workflows").glob("*.y*ml"))
TOKEN = "${{ secrets.REPLICATE_API_TOKEN }}"
STRICT = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]  # as the runner calls it


@pytest.fixture
def workflow():
    return yaml.safe_load((GITHUB / "workflows" / "push.yaml").read_text())


@pytest.fixture
def jobs(workflow):
    return workflow["jobs"]


def test_every_program_that_a_step_runs_is_there():
    for path in PATHS:
        for name in set(re.findall(r"(?:run: |^ +)((?:script|\.ci|\.github)/[\w-]+)", path.read_text(), re.MULTILINE)):
            assert os.access(REPOSITORY / name, os.X_OK), f"{path.name}: {name}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_which_release_that_is(path):
    uses = re.findall(r"^\s*(?:- )?uses:(.*)$", path.read_text(), re.MULTILINE)
    assert uses
    for line in uses:
        assert re.fullmatch(r" [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_it_may_only_read(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]


def test_nothing_is_released_without_staging_and_the_leave_of_its_own_environment(workflow, jobs):
    assert workflow[True]["workflow_dispatch"]["inputs"]["how_far"]["default"] == "dry-run"
    assert jobs["release"]["environment"] == "replicate-release" != jobs["stage"]["environment"]
    how_far = step_of(jobs["stage"], "Push")["env"]["HOW_FAR"]
    assert how_far.endswith("&& 'staging' || inputs.how_far }}")  # never a release


def test_what_the_release_takes_up_is_what_staging_kept(jobs):
    kept, taken_up = step_of(jobs["stage"], "Keep the contact sheet"), step_of(jobs["release"], "Go on where")
    assert [kept["with"][key] for key in ("name", "path")] == [taken_up["with"][key] for key in ("name", "path")]


@pytest.mark.parametrize("name", ["stage", "release"])
def test_only_the_steps_that_need_the_secret_get_it(workflow, jobs, name):
    assert "secrets" not in str(workflow["env"]) + str(jobs[name].get("env"))
    given = {step["name"]: step["env"] for step in jobs[name]["steps"] if "secrets." in str(step)}
    assert set(given) == {"Install Cog", "Push"}
    assert all(env["REPLICATE_API_TOKEN"] == TOKEN for env in given.values())
    assert jobs[name]["steps"][0]["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_no_text_of_others_gets_into_a_shell(path):
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    assert not [step["run"] for job in jobs for step in job["steps"] if "${{" in step.get("run", "")]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_everything_ends_by_itself(path):
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert all(0 < step["timeout-minutes"] <= 120 for step in job["steps"] if "run" in step)


def step_of(job, name):
    (step,) = [step for step in job["steps"] if step.get("name", "").startswith(name)]
    return step


@pytest.mark.parametrize(
    ("job", "variables", "arguments"),
    [
        ("stage", {"HOW_FAR": "dry-run"}, "-f cog.yaml --dry-run"),
        ("stage", {"HOW_FAR": "staging", "ALLOW_BREAK": "true"}, "-f cog.yaml --staging --allow-break"),
        ("release", {"HOW_FAR": "release"}, "-f cog.yaml --release"),
        (
            "release",
            {"HOW_FAR": "release", "DEPLOYMENT": "me/icons"},
            "-f cog.yaml --release --deployment me/icons",
        ),
    ],
)
def test_it_calls_script_push_with_what_was_asked(jobs, tmp_path, job, variables, arguments):
    program = tmp_path / "script" / "push"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho $#: $*\n")
    program.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "COG_FILE": "cog.yaml", "DEPLOYMENT": "", "ALLOW_BREAK": "", "IMAGE": "host/me/a"}
    command = [*STRICT, "-c", step_of(jobs[job], "Push")["run"]]
    done = subprocess.run(command, cwd=tmp_path, env=env | variables, capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(arguments.split()) + 1}: host/me/a {arguments}\n"
    done = subprocess.run(command, cwd=tmp_path, env=env | variables | {"IMAGE": ""}, capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("digest", ["the right one", "0" * 64, ""])
def test_a_cog_that_is_not_the_known_one_is_never_run(workflow, tmp_path, digest):
    assert workflow["env"]["COG_VERSION"] == COG_VERSION
    fetched = '#!/bin/sh\necho "$@" >>"$RUNNER_TEMP/ran"; cat >>"$RUNNER_TEMP/ran"\n'
    curl = tmp_path / "curl"
    curl.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[6], 'w').write({fetched!r})\n")
    curl.chmod(0o755)
    if digest == "the right one":
        (tmp_path / "expected").write_text(fetched)
        summed = subprocess.run(["sha256sum", tmp_path / "expected"], capture_output=True, text=True, check=True)
        digest = summed.stdout.split()[0]
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_PATH": str(tmp_path / "paths"),
        "COG_VERSION": COG_VERSION,
        "COG_SHA256": digest,
        "REPLICATE_API_TOKEN": "the-token",
    }
    done = subprocess.run([GITHUB / "install-cog"], env=env, capture_output=True, text=True, check=False)
    right = digest.strip("0") != ""
    assert (done.returncode == 0) == right, done.stderr
    assert (tmp_path / "ran").exists() == right
    if right:
        assert (tmp_path / "ran").read_text() == "login --token-stdin\nthe-token\n"
        assert (tmp_path / "paths").read_text() == f"{tmp_path}/programs\n"
