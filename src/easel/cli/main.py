"""The `easel` command. The scripts in `script/` call it; each subcommand is a few lines over the other modules.

Standard output carries only results (paths, JSON, a URL); all that is meant for reading goes to standard error.
Exit codes: 0 done, 1 failed, 2 the request cannot be sent as it is, 128 + n stopped by signal n (130: Ctrl-C).
"""

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from easel.cli.api import add_api_command
from easel.cli.compare import add_compare_command
from easel.cli.dataset import add_dataset_commands
from easel.cli.exit_codes import FAILED, REFUSED
from easel.cli.page import add_page_command
from easel.cli.predict import add_predict_commands
from easel.cli.prices import add_prices_command
from easel.cli.push import add_push_command
from easel.cli.serve import add_server_commands
from easel.cli.servers import clean_url
from easel.cli.simulate import add_simulate_command
from easel.cli.weights import add_weights_commands
from easel.errors import EaselError, InputError
from easel.local.console import print_status
from easel.local.server import SETUP_TIMEOUT_S

REPOSITORY = Path(__file__).resolve().parents[3]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    for signum in SIGNALS:  # Ctrl-C too, since a shell starts its background jobs with that one ignored.
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # `nohup` wants to be left alone.
            signal.signal(signum, interrupt)
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
    elsewhere = argparse.ArgumentParser(add_help=False)
    elsewhere.add_argument(
        "--server", type=clean_url, metavar="URL", help="a Cog server that runs already; it is left running"
    )
    setup = argparse.ArgumentParser(add_help=False)
    setup.add_argument(
        "--setup-timeout", type=float, default=SETUP_TIMEOUT_S, metavar="S", help="seconds the model may take to load"
    )

    add_predict_commands(commands, [common, elsewhere, setup])
    add_server_commands(commands, common, setup)
    add_weights_commands(commands, common)
    add_api_command(commands, common, setup)
    add_page_command(commands, common)
    add_push_command(commands, common)
    add_compare_command(commands, [common, setup])
    add_dataset_commands(commands, common)
    add_simulate_command(commands, common)
    add_prices_command(commands, common)
    return parser.parse_args(argv)


def interrupt(signum: int, frame: object) -> NoReturn:
    """Leave through every `finally`. What they do ends within seconds; a second signal would break it off half-way."""
    for each in SIGNALS:
        signal.signal(each, lambda signum, frame: None)
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signum)
