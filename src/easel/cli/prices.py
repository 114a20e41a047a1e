"""`easel prices`: the subcommand."""

import argparse
import datetime
from typing import Any

from easel.cli.exit_codes import FAILED
from easel.errors import InputError
from easel.local.console import print_result, print_status

DESCRIPTION = """\
Read a platform's prices of cards anew and write them, with today's date, into src/easel/platforms/data. Modal's come
from your workspace, by the package modal and the token that `modal setup` makes. Replicate has no such interface: edit
data/replicate.yaml by its price list.
"""


def add_prices_command(commands: Any, common: argparse.ArgumentParser) -> None:
    prices = commands.add_parser("prices", help="the prices that `easel simulate` computes with")
    actions = prices.add_subparsers(metavar="ACTION", required=True)
    refresh = actions.add_parser(
        "refresh",
        parents=[common],
        help="read a platform's prices anew",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    refresh.add_argument("platform", choices=["modal"], help="whose")
    refresh.add_argument("--dry-run", action="store_true", help="only say what would change")
    refresh.set_defaults(run=run_refresh)


def run_refresh(args: argparse.Namespace) -> int:
    try:
        from easel.platforms.prices import load_platforms
        from easel.platforms.refresh import find_changes, read_modal_rates, write_changes
    except ImportError as error:
        raise InputError(f"`easel prices` needs {error.name}: install the extra, pip install 'easel[plan]'.") from None
    rates = read_modal_rates()
    changes, missing = find_changes(load_platforms([args.platform])[0], rates)
    for change in changes:
        print_result(f"{change.card}: ${change.before:.9f} to ${change.after:.9f} a second")
    if missing:
        print_status(
            f"Not found, and left as they are: {', '.join(missing)}. The rates are {', '.join(sorted(rates))}."
        )
    if not args.dry_run:
        write_changes(changes, datetime.date.today())
    print_status(f"{len(changes)} changed." if changes else "Nothing changed.")
    return FAILED if missing else 0
