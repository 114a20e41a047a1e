"""The `easel` command. The scripts in `script/` call it; each subcommand is a few lines over the other modules.

Standard output carries only results (paths, JSON, a URL); all that is meant for reading goes to standard error.
Exit codes: 0 done, 1 failed, 2 the request cannot be sent as it is, 128 + n stopped by signal n (130: Ctrl-C).
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from easel.cli.exit_codes import FAILED, REFUSED
from easel.errors import EaselError, InputError
from easel.local.console import print_status
from easel.signals import catch_signals, leave

REPOSITORY = Path(__file__).resolve().parents[3]
INTERRUPTED = 128 + signal.SIGINT
# The commands, those of one module together, as --help lists them.
GROUPS = (
    ("predict", "samples"),
    ("serve", "schema"),
    ("weights",),
    ("api",),
    ("page",),
    ("mcp",),
    ("push",),
    ("train",),
    ("dataset",),
    ("verify",),
    ("batch",),
    ("compare",),
    ("measure",),
    ("simulate",),
    ("prices",),
)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    catch_signals(interrupt)
    try:
        code: int = args.run(args)
        return code
    except KeyboardInterrupt:
        print_status("\nCanceled.")
        return INTERRUPTED
    except EaselError as error:
        print_status(f"{error}")
        return REFUSED if isinstance(error, InputError) else FAILED


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="easel",
        description="A text-to-image model, served by Cog without Docker.",
        epilog="`easel COMMAND --help` tells more. Try: easel predict -i prompt='a red apple'",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=REPOSITORY, help="folder with predict.py (this repository)")
    wanted = next((word for word in (sys.argv[1:] if argv is None else argv) if not word.startswith("-")), None)
    for names in GROUPS:
        if wanted in names or not any(wanted in other for other in GROUPS):
            add_group(names[0], commands, common)
    return parser.parse_args(argv)


def add_group(first: str, commands: Any, common: argparse.ArgumentParser) -> None:
    """Add a group's commands. Each imports only what it needs itself, which for some takes long."""
    match first:
        case "predict":
            from easel.cli.predict import add_predict_commands

            add_predict_commands(commands, common)
        case "serve":
            from easel.cli.serve import add_server_commands

            add_server_commands(commands, common)
        case "weights":
            from easel.cli.weights import add_weights_commands

            add_weights_commands(commands, common)
        case "api":
            from easel.cli.api import add_api_command

            add_api_command(commands, common)
        case "page":
            from easel.cli.page import add_page_command

            add_page_command(commands, common)
        case "mcp":
            from easel.cli.mcp import add_mcp_command

            add_mcp_command(commands, common)
        case "push":
            from easel.cli.push import add_push_command

            add_push_command(commands, common)
        case "train":
            from easel.cli.train import add_train_command

            add_train_command(commands, common)
        case "dataset":
            from easel.cli.dataset import add_dataset_commands

            add_dataset_commands(commands, common)
        case "verify":
            from easel.cli.verify import add_verify_command

            add_verify_command(commands, common)
        case "batch":
            from easel.cli.batch import add_batch_command

            add_batch_command(commands, common)
        case "compare":
            from easel.cli.compare import add_compare_command

            add_compare_command(commands, common)
        case "measure":
            from easel.cli.measure import add_measure_command

            add_measure_command(commands, common)
        case "simulate":
            from easel.cli.simulate import add_simulate_command

            add_simulate_command(commands, common)
        case "prices":
            from easel.cli.prices import add_prices_command

            add_prices_command(commands, common)


def interrupt(signum: int) -> NoReturn:
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    leave(signum)
