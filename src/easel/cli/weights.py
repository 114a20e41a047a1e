"""`easel weights ...`: have a model's files here, verify them, see and free what they take, pin a new model."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from easel.errors import InputError
from easel.local.console import print_result, print_status
from easel.models import DEFAULT_MODEL, Model, load_model
from easel.weights.manifest import LOCK_NAME, read_manifest
from easel.weights.pinning import lock_model
from easel.weights.prune import find_leftovers, remove_leftover
from easel.weights.pull import readable
from easel.weights.snapshots import ensure_snapshot
from easel.weights.status import status_of
from easel.weights.store import WeightPaths
from easel.weights.verify import verify_model

FAILED = 1
DESCRIPTION = """\
Have a model's files on this machine, verified against the digests in weights.lock.

A model is a folder in weights/. Its weights.lock names every file, its size and SHA-256, and where it comes from. Files
that are not in this repository are looked for, in this order:

  1. in the folder EASEL_WEIGHTS_DIR, if it is set: used in place
  2. in the store, EASEL_CACHE_DIR (by default easel in your cache folder)
  3. in the cache of huggingface_hub (HF_HOME, HF_HUB_CACHE): verified once, then used in place
  4. at their source, from where they are fetched into the store: verified while they arrive, resumed after a break

HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.
"""
EXAMPLES = """\
examples:
  easel weights status                  what is here, and what it takes
  easel weights pull z-image-turbo      fetch what is missing; the folder's path is printed
  easel weights verify z-image-turbo    read every byte again
  easel weights prune --dry-run         what could go

exit codes: 0 done, 1 failed, or something is bad, missing or not pinned
"""


def add_weights_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    weights = commands.add_parser(
        "weights",
        help="fetch, verify, see and free the files of the models",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each = weights.add_subparsers(metavar="COMMAND", required=True)
    default = f"folder in weights/ (EASEL_MODEL, or {DEFAULT_MODEL})"

    pull = each.add_parser("pull", parents=[common], help="fetch a model's missing files into the store")
    pull.add_argument("model", nargs="?", metavar="MODEL", help=default)
    pull.set_defaults(run=run_pull)
    verify = each.add_parser(
        "verify", parents=[common], help="read a model's files again; remove bad ones of the store"
    )
    verify.add_argument("model", nargs="?", metavar="MODEL", help=default)
    verify.set_defaults(run=run_verify)
    status = each.add_parser("status", parents=[common], help="the models, where their files are, and the free disk")
    status.set_defaults(run=run_status)
    prune = each.add_parser("prune", parents=[common], help="remove from the store what no lock of weights/ names")
    prune.add_argument("model", nargs="?", metavar="MODEL", help="remove this model, but what others share with it")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    prune.set_defaults(run=run_prune)
    lock = each.add_parser("lock", parents=[common], help=f"fill in the sizes and digests of a model's {LOCK_NAME}")
    lock.add_argument("model", metavar="MODEL", help="folder in weights/")
    lock.set_defaults(run=run_lock)


def find_model(args: argparse.Namespace) -> Model:
    return load_model(args.root / "weights" / (args.model or os.environ.get("EASEL_MODEL") or DEFAULT_MODEL))


def run_pull(args: argparse.Namespace) -> int:
    model = find_model(args)
    started = time.monotonic()
    try:
        snapshot = ensure_snapshot(model, WeightPaths.from_environ(os.environ), log=print_status)
    except KeyboardInterrupt:
        print_status("\nWhat has come so far is kept; the next pull goes on from there.")
        raise
    files = snapshot.manifest.files
    size = readable(sum(path.stat().st_size for file in files if (path := snapshot.folder / file.path).is_file()))
    print_status(
        f"{model.name}: {len(files)} files, {size}, are in {snapshot.folder} after {time.monotonic() - started:.1f} s."
    )
    print_result(str(snapshot.folder))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    model = find_model(args)
    problems = verify_model(model, WeightPaths.from_environ(os.environ), sys.stderr)
    for problem in problems:
        print_status(problem)
    count = len(read_manifest(model.folder).files)
    found = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else f"all {count} files are right"
    print_status(f"{model.name}: {found}.")
    return FAILED if problems else 0


def run_status(args: argparse.Namespace) -> int:
    paths = WeightPaths.from_environ(os.environ)
    states = [status_of(load_model(folder), paths) for folder in model_folders(args.root)]
    rows = [("MODEL", "FILES", "BYTES", "PLACE", "STATE")]
    rows += [(one.name, str(one.files), readable(one.size), str(one.place), one.state) for one in states]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print_result("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
    existing = next(one for one in (paths.cache, *paths.cache.parents) if one.exists())
    print_result(f"\n{readable(shutil.disk_usage(existing).free)} are free in {paths.cache}.")
    return 0


def run_prune(args: argparse.Namespace) -> int:
    cache = WeightPaths.from_environ(os.environ).cache
    manifests = {folder.name: read_manifest(folder) for folder in model_folders(args.root)}
    if args.model:
        find_model(args)
    leftovers = find_leftovers(cache, manifests, args.model)
    freed = 0
    for one in leftovers:
        name = one.path.relative_to(cache)
        if one.busy:
            print_status(f"kept, since a process fetches it now: {name}")
            continue
        if not args.dry_run:
            remove_leftover(one)
        print_status(f"{'would remove' if args.dry_run else 'removed'} {name} ({readable(one.size)})")
        freed += one.size
    print_status(f"{'Would free' if args.dry_run else 'Freed'} {readable(freed)} in {cache}.")
    return 0


def run_lock(args: argparse.Namespace) -> int:
    problems = lock_model(find_model(args).folder, WeightPaths.from_environ(os.environ).cache, print_status, sys.stderr)
    for problem in problems:
        print_status(problem)
    return FAILED if problems else 0


def model_folders(root: Path) -> list[Path]:
    folders = sorted(path.parent for path in (root / "weights").glob("*/model.yaml"))
    if not folders:  # Else `prune` with a wrong --root would take it that nothing is needed.
        raise InputError(f"There is no model in {root / 'weights'}: --root is the folder of this repository.")
    return folders
