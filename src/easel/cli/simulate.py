"""`easel simulate`: the subcommand."""

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from easel.cli.exit_codes import FAILED
from easel.errors import InputError
from easel.local.console import print_result, print_status
from easel.progress import Bar, LineWriter

DESCRIPTION = """\
Simulate your traffic on Replicate, Modal and cards of your own, in each setting that they offer: how long requests
take, how many meet a cold start, what a month costs, and from which volume one is cheaper than another. Writes one HTML
page.

TRAFFIC is a .csv or .parquet file of arrivals (a column `seconds` from the start, or `time`, dates or Unix time), or a
.yaml that describes a week. The profile says how long your model takes; `easel measure --profile FILE` writes one.
"""
EPILOG = """\
examples:
  easel simulate samples/traffic/shop.csv --profile samples/profiles/z-image-turbo-l40s.yaml
  easel simulate samples/traffic/steady.yaml --profile mine.yaml --platform modal --platform own-gpu --p95 5
  easel simulate arrivals.parquet --profile mine.yaml --json

Prices and scaling rules are in src/easel/platforms/data, each with its source and date. The exit status is 1 when no
setting meets --p95.
"""
P95_SECONDS = 10.0
BAR = "{percentage:3.0f}%|{bar}| {elapsed} < {remaining}"


def add_simulate_command(commands: Any, common: argparse.ArgumentParser) -> None:
    simulate = commands.add_parser(
        "simulate",
        parents=[common],
        help="what your traffic costs on each platform, and how long it waits",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulate.add_argument(
        "traffic", type=Path, metavar="TRAFFIC", help="a file of arrivals, or one that describes them"
    )
    simulate.add_argument("--profile", type=Path, required=True, metavar="FILE", help="how long the model takes")
    simulate.add_argument("--platform", action="append", metavar="NAME", help="only this one; repeat for several")
    simulate.add_argument("--days", type=positive, metavar="D", help="what a file of arrivals spans (whole days)")
    simulate.add_argument(
        "--p95",
        type=positive,
        default=P95_SECONDS,
        metavar="S",
        help="95th percentile to meet, in seconds (%(default)g)",
    )
    simulate.add_argument("--seed", type=from_zero, default=0, help="of what is drawn (%(default)s)")
    simulate.add_argument("-o", "--output", type=Path, metavar="FILE", help="the page (report.html)")
    simulate.add_argument(
        "--json", action="store_true", help="print all figures as JSON; without -o no page is written"
    )
    simulate.set_defaults(run=run_simulate)


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def from_zero(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return value


def run_simulate(args: argparse.Namespace) -> int:
    try:
        from easel.platforms.files import read_yaml
        from easel.platforms.prices import load_platforms
        from easel.platforms.profile import Profile
        from easel.platforms.report import write_report
        from easel.platforms.study import RUNS, as_json, make_study, sentences, table
        from easel.platforms.traffic import read_traffic
    except ImportError as error:
        raise InputError(
            f"`easel simulate` needs {error.name}: install the extra, pip install 'easel[plan]'."
        ) from None
    platforms = load_platforms(args.platform)
    profile = read_yaml(args.profile, Profile)
    traffic = read_traffic(args.traffic, args.days)
    print_status(f"{traffic.facts}; {profile.name}")
    stream = sys.stderr if sys.stderr.isatty() else LineWriter(sys.stderr)
    today = datetime.date.today()
    with Bar(total=RUNS, file=stream, delay=1.0, mininterval=1.0, bar_format=BAR) as bar:
        study = make_study(traffic, profile, platforms, args.p95, args.seed, today, bar.update)
    for line in [*table(study), "", *sentences(study)]:
        print_status(line)
    if args.output or not args.json:
        output = args.output or Path("report.html")
        try:
            write_report(output, study)
        except OSError as error:
            raise InputError(f"-o {output}: cannot be written ({error.strerror}). Choose another file.") from None
        if not args.json:
            print_result(str(output))
    if args.json:
        print_result(json.dumps(as_json(study)))
    return 0 if study.best else FAILED
