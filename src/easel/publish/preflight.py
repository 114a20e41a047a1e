"""What is said before anything is done: the plan of a dry run, and what would stop a later step."""

from collections.abc import Callable, Sequence

from easel.errors import InputError
from easel.local.console import print_result, print_status
from easel.publish import changelog
from easel.publish.cases import Case
from easel.publish.push import Push
from easel.publish.target import Target


def print_plan(push: Push, cases: Sequence[Case], live: str | None) -> None:
    """Steps 3 to 6 as they would be done, with the exact commands."""
    target = push.target or Target("IMAGE")
    model = push.target.model if push.target else "OWNER/NAME"
    old = f"version {live[:12]}" if live else "samples/outputs"
    deployment = f"deployment {push.deployment} to that version" if push.deployment else "no deployment (--deployment)"
    if push.cog_file.unpinned():
        print_status(f"  before step 3: {how_to_pin(push)}")
    print_result(
        f"Plan for commit {push.commit[:12]}; what is done already is not repeated:\n"
        f"3. --staging: {push.cog_file.command_text(target.staging)}\n"
        f"4. --staging: {len(cases)} cases of {push.cases_folder}, each twice, on {model}-staging ({push.hardware}, "
        f"USD {push.price:.6f} a second); old images from {old}\n"
        f"   the page with both: {push.folder}/contact-sheet.html\n"
        f"5. --release: {push.cog_file.command_text(target)}\n"
        f"   --release: {deployment}\n"
        f"6. --release: a record in {changelog.NAME}\n"
        "Nothing has left this machine."
    )


def preflight(push: Push, which: Callable[[str], str | None], releasing: bool) -> None:
    """What would stop a later step, said before the minutes of the first one."""
    target = push.required_target
    if which("cog") is None:
        raise InputError("cog is not on the PATH, and it builds and pushes the image: see docs/push.md.")
    if push.cog_file.unpinned():
        raise InputError(how_to_pin(push))
    for model in (target.model, target.staging.model):
        push.api.latest_version(model)
    if push.deployment and releasing:
        deployment = push.api.deployment(push.deployment)
        if deployment is None:
            raise InputError(f"There is no deployment {push.deployment}: make it on the site first, or leave it out.")
        if deployment.current_release and deployment.current_release.model != target.model:
            raise InputError(
                f"The deployment {push.deployment} runs {deployment.current_release.model}, and not {target.model}."
            )


def how_to_pin(push: Push) -> str:
    name = push.cog_file.model.name
    return (
        f"{len(push.cog_file.unpinned())} files of {name} have no size or no SHA-256 yet, so its server would refuse "
        f"to start. Run `easel weights lock {name}` with a network, and commit the lock."
    )
