"""`easel push`, which script/push calls: what was asked, and the steps one after another."""

import argparse
import shutil
from pathlib import Path

from easel.errors import InputError
from easel.publish.cases import read_cases
from easel.publish.preflight import preflight, print_plan
from easel.publish.push import Push
from easel.publish.replicate_api import api_address
from easel.publish.state import State, push_lock
from easel.publish.steps import check_page, check_tree, check_unchanged, release, stage
from easel.publish.target import PRICES, CogFile, Target, parse_image, read_cog_file
from easel.publish.tree import commit_of

PLACE = Path(".cache") / "push"
DESCRIPTION = """\
From a clean tree to a published version. Without --staging or --release nothing leaves this machine.

  1  lint, tests, schema check; what passed for this very commit is not repeated
  2  the schema as the model's page, and compared with the live version: a break stops it, with the callers' lines
  3  --staging   cog push to IMAGE-staging
  4  --staging   the cases run there twice and are checked; old and new images side by side as a page
  5  --release   cog push to IMAGE, then the deployment
  6  --release   a record in CHANGELOG.md

--release does what --staging does first. A run that was broken off goes on where it stopped: call it again.
REPLICATE_API_TOKEN is needed as soon as IMAGE is named; REPLICATE_BASE_URL names another API, such as `easel api`.
"""


def add_push_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    push = commands.add_parser(
        "push",
        parents=[common],
        help="publish this commit, in steps that can be resumed",
        description=DESCRIPTION,
        epilog="exit codes: 0 done, 1 a step failed, 2 it cannot be done as it was asked, 130 Ctrl-C",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    push.add_argument("image", nargs="?", metavar="IMAGE", help="HOST/OWNER/NAME, as for cog push (`image:` of FILE)")
    push.add_argument(
        "-f", "--file", default="cog.yaml", metavar="FILE", help="cog.yaml or cog.emoji.yaml (%(default)s)"
    )
    how_far = push.add_mutually_exclusive_group()
    how_far.add_argument("--dry-run", action="store_true", help="steps 1 and 2, and the others as a plan (default)")
    how_far.add_argument("--staging", action="store_true", help="steps 1 to 4")
    how_far.add_argument("--release", action="store_true", help="all steps")
    push.add_argument("--allow-break", action="store_true", help="push although callers break; says which")
    push.add_argument(
        "--callers",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="more callers' code to search; repeat it",
    )
    push.add_argument(
        "--cases",
        type=Path,
        metavar="DIR",
        help="requests for step 4 (samples/requests/MODEL if there, or samples/requests)",
    )
    push.add_argument("--deployment", metavar="OWNER/NAME", help="let it run the version that is released")
    push.add_argument(
        "--hardware", choices=PRICES, help="hardware for the cost estimate (cpu, or gpu-l40s for a GPU build)"
    )
    push.set_defaults(run=run_push)


def run_push(args: argparse.Namespace) -> int:
    root = args.root.resolve()
    commit = commit_of(root)
    cog_file = read_cog_file(root, args.file)
    image = args.image or cog_file.image
    target = parse_image(image) if image else None
    if args.deployment and args.deployment.count("/") != 1:
        raise InputError(f"--deployment is OWNER/NAME, and not {args.deployment!r}.")
    with push_lock(root / PLACE / "lock") as lock:
        push = prepare(args, root, commit, cog_file, target, lock)
        check_unchanged(push)
        cases = read_cases(push.cases_folder, cog_file.model)
        if args.staging or args.release:
            asked = {"image": push.required_target.image, "file": cog_file.name, "api": api_address()}
            check_same_push(push.state, asked)
            preflight(push, shutil.which, releasing=args.release)
        check_tree(push)
        found = check_page(push)
        # Once the release is begun, the old version is the one that was live before it.
        live = push.state.get("before", "version") if push.state.get("before") else found.version
        if not (args.staging or args.release):
            print_plan(push, cases, live)
            return 0
        lines = stage(push, cases, live)
        if args.release:
            release(push, found, lines)
    return 0


def prepare(
    args: argparse.Namespace, root: Path, commit: str, cog_file: CogFile, target: Target | None, lock: int
) -> Push:
    place = root / PLACE
    name = f"{commit}-{target.model.replace('/', '-') if target else 'no-model'}"
    hardware = args.hardware or ("gpu-l40s" if cog_file.gpu else "cpu")
    return Push(
        root=root,
        commit=commit,
        cog_file=cog_file,
        target=target,
        checks=State(place / f"{commit}.json"),
        state=State(place / f"{name}.json"),
        folder=place / name,
        cases_folder=args.cases.resolve() if args.cases else cases_of(root, cog_file.model.name),
        hardware=hardware,
        price=PRICES[hardware],
        allow_break=args.allow_break,
        callers=[path.resolve() for path in args.callers],
        deployment=args.deployment,
        lock=lock,
    )


def cases_of(root: Path, model: str) -> Path:
    """Return the model's own requests where it has some, such as those with a LoRA that fits no other."""
    shared = root / "samples" / "requests"
    return shared / model if (shared / model).is_dir() else shared


def check_same_push(state: State, asked: dict[str, str]) -> None:
    """What was done elsewhere, or with another Cog file, is not done here."""
    begun = state.get("push")
    if begun is None:
        state.set("push", value=asked)
    elif begun != asked:
        told = "; ".join(f"{key} was {begun.get(key)} and is {value}" for key, value in asked.items())
        raise InputError(f"This commit's push was begun otherwise: {told}. Go on as it was, or remove {state.path}.")
