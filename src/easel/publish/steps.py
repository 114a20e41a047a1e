"""The six steps of a push. What leaves the machine is in steps 3 to 6, and each is done at most once for a commit."""

import datetime
import os
import subprocess
import sys
from collections.abc import Sequence

from easel.errors import EaselError, InputError
from easel.local.client import ServerError
from easel.local.console import print_result, print_status
from easel.publish import changelog
from easel.publish.callers import read_callers
from easel.publish.cases import Case
from easel.publish.compare import Comparison, compare, describe_breaks, same_contract
from easel.publish.page_lint import lint_readme, lint_schema
from easel.publish.push import Push
from easel.publish.staging import Staging, run_all
from easel.publish.target import Target
from easel.publish.tree import check_clean, commit_of

# Step 1, as a person would run it.
CHECKS = (("script/lint",), ("script/test",), (".venv/bin/easel", "schema", "--check"))


def check_tree(push: Push) -> None:
    """Step 1. What passed for this commit is not repeated."""
    print_status("1 of 6: lint, tests, schema")
    environment = {name: value for name, value in os.environ.items() if name != "REPLICATE_API_TOKEN"}
    for command in CHECKS:
        text = " ".join(command)
        if push.checks.get(text) == "passed":
            print_status(f"  {text}: passed already for this commit")
            continue
        print_status(f"  {text}")
        # Its standard output is for reading too, and ours carries results alone.
        code = subprocess.run(
            [push.root / command[0], *command[1:]], cwd=push.root, env=environment, stdout=sys.stderr
        ).returncode
        if code:
            raise EaselError(f"{text} ended with exit code {code}. Fix it, commit, and run this again.")
        push.checks.set(text, value="passed")
    check_unchanged(push)


def check_unchanged(push: Push) -> None:
    """Cog packs the folder as it lies there, so just before it must still be the commit."""
    released = push.state.get("release", "version")  # then the record may be there, which no image holds
    check_clean(push.root, allowed=changelog.NAME if released else None)
    if commit_of(push.root) != push.commit:
        raise InputError(f"The tree is no longer at {push.commit[:12]}, which was checked. Run this again.")


def check_page(push: Push) -> Comparison:
    """Step 2. Done anew each time, since it takes a second and what is live may have changed."""
    print_status("2 of 6: the schema as a page, and against the version that is live")
    problems = lint_schema(push.document) + lint_readme(push.root, push.document)
    if problems:
        raise EaselError("The model's page would be incomplete:\n  " + "\n  ".join(problems))
    print_status("  the page: every input described, ordered, with default and limits; README with image and example")
    if push.target is None:
        print_status("  no model is named, so there is no live version to compare with; name IMAGE for that")
        return Comparison()
    live = push.api.latest_version(push.target.model)
    version, schema = (live.id, live.openapi_schema) if live else (None, None)
    found = compare(version, schema, push.document, read_callers(push.root, push.callers))
    if live is None:
        print_status(f"  {push.target.model} has no version yet: there are no callers to break")
        return found
    print_status(
        f"  compared with {push.target.model}:{live.id}: {len(found.breaks)} breaks, {len(found.others)} other changes"
    )
    for change in found.others:
        print_status(f"    {change}")
    if found.breaks:
        told = f"The new schema breaks callers of {push.target.model}:\n{describe_breaks(found)}"
        if not push.allow_break:
            raise EaselError(f"{told}\nKeep what they use, or push all the same with --allow-break.")
        print_status(f"{told}\n  --allow-break: pushed all the same")
    return found


def push_image(push: Push, step: str, target: Target) -> str:
    """`cog push` once, and the id of the version that came of it. `step` is staging or release."""
    if push.state.get(step, "version"):
        print_status(f"  {target.image}: pushed already, version {push.state.get(step, 'version')}")
        return str(push.state.get(step, "version"))
    if not push.state.get(step, "pushed"):
        check_unchanged(push)
        print_status(f"  {push.cog_file.command_text(target)}")
        environment = push.cog_file.environment | os.environ  # what the caller sets goes first
        kept = () if push.lock is None else (push.lock,)
        code = subprocess.run(
            push.cog_file.push_command(target), cwd=push.root, env=environment, stdout=sys.stderr, pass_fds=kept
        ).returncode
        if code:
            raise EaselError(f"cog push ended with exit code {code}. Run this again to try once more.")
        push.state.set(step, "pushed", value=True)
    version = push.api.latest_version(target.model)
    if version is None:
        raise ServerError(f"cog push ended well, but {target.model} has no version yet. Run this again in a moment.")
    if not same_contract(push.document, version.openapi_schema):
        push.state.set(step, value={})
        raise ServerError(
            f"{target.model}:{version.id} has another schema than openapi.json: someone else pushed, or Cog reads "
            "predict.py otherwise. Look at it before you push again."
        )
    push.state.set(step, "version", value=version.id)
    print_status(f"  {target.model}:{version.id}")
    return version.id


def stage(push: Push, cases: Sequence[Case], live: str | None) -> list[str]:
    """Steps 3 and 4: the lines about the cases that go into the record."""
    print_status("3 of 6: push to staging")
    version = push_image(push, "staging", push.required_target.staging)
    print_status(f"4 of 6: {len(cases)} cases on {push.required_target.staging.model}, each twice with the same seed")
    samples = push.root / "samples" / "outputs"
    staging = Staging(push.api, version, live, push.price, push.state, push.folder, samples)
    lines, problems = run_all(staging, cases, push.required_target.model)
    print_result(str(push.folder / "contact-sheet.html"))
    if problems:
        raise EaselError(
            "Some cases are wrong, and nothing was released:\n  "
            + "\n  ".join(problems)
            + "\nThese run again next time."
        )
    return lines


def release(push: Push, found: Comparison, lines: Sequence[str]) -> None:
    """Steps 5 and 6."""
    target, state = push.required_target, push.state
    print_status("5 of 6: release")
    if not state.get("before"):  # once: after the push, the live version is this one
        state.set("before", value={"version": found.version, "differences": found.differences})
    version = push_image(push, "release", target)
    if push.deployment:
        deploy(push, push.deployment, version)
    print_status("6 of 6: the record")
    record = changelog.Record(
        model=target.model,
        version=version,
        commit=push.commit,
        day=datetime.datetime.now(datetime.UTC).date(),
        cog_file=push.cog_file.name,
        weights=push.cog_file.model.folder,
        live=state.get("before", "version"),
        differences=state.get("before", "differences"),
        cases=lines,
        deployment=push.deployment,
    )
    written = changelog.write_record(push.root, record)
    print_status(f"  {changelog.NAME}: {'written; commit it' if written else 'has this version already'}")
    print_result(f"{target.model}:{version}")


def deploy(push: Push, name: str, version: str) -> None:
    if push.state.get("deployment", name) == version:
        print_status(f"  deployment {name}: updated already")
        return
    deployment = push.api.deployment(name)
    release = deployment and deployment.current_release
    number = release.number if release and release.version == version else push.api.update_deployment(name, version)
    push.state.set("deployment", name, value=version)
    print_status(f"  deployment {name}: release {number} runs {version}")
