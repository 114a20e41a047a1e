"""`easel measure` and `easel measure compare`: the subcommand."""

import argparse
import asyncio
import json
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.cli.exit_codes import FAILED
from easel.cli.servers import clean_url, setup, start_server
from easel.errors import EaselError, InputError
from easel.local.console import print_result, print_status
from easel.local.server import check_root
from easel.models import DEFAULT_MODEL
from easel.weights.manifest import read_manifest

if TYPE_CHECKING:
    from easel.platforms.find_target import Place
    from easel.platforms.measure import Settings
    from easel.platforms.results import Recording

USAGE = """easel measure [TARGET] [options]
       easel measure compare A.jsonl B.jsonl"""
DESCRIPTION = """\
Measure a Cog server, easel api, Replicate or Modal in the same way: latency, queue, run time, errors, cost.

TARGET is the URL of a Cog server or of an `easel api` (also one on Modal), or a name on Replicate: OWNER/NAME,
OWNER/NAME:VERSION, deployments/OWNER/NAME. Without one a Cog server of this repository is started, and its cold start
is measured as well. First one request alone (cold), then --warm-up ones, then the load: each request leaves at its
intended time, whatever became of those before, and its latency counts from that time.

compare says which differences between two results are real, and how many requests the others would need.
"""
EPILOG = """\
  easel measure                                                the emoji model, with its cold start
  EASEL_MODEL=z-image-turbo easel measure --starts 5 --rate 0.5 --requests 200
  easel measure http://127.0.0.1:5000 --trace arrivals.csv -i prompt='a cat, number {n}'
  easel measure owner/name --rate 0.2 --price-per-second 0.000975 --max-cost 1 --yes
  easel measure https://owner--easel.modal.run --rate 1 --yes
  easel measure compare replicate.jsonl modal.jsonl

environment:
  REPLICATE_API_TOKEN  for Replicate and easel api; it goes to REPLICATE_BASE_URL and to this machine only
  REPLICATE_BASE_URL   where names on Replicate are (https://api.replicate.com)
  MODAL_KEY, MODAL_SECRET  a proxy auth token, for an app on Modal that wants one
"""


def add_measure_command(commands: Any, common: argparse.ArgumentParser) -> None:
    measure = commands.add_parser(
        "measure",
        parents=[common, setup()],
        help="latency, cold start, errors and cost of a target under load",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    measure.add_argument("target", nargs="*", metavar="TARGET", help="a URL or a name on Replicate")
    measure.add_argument("--model", metavar="OWNER/NAME", help="which of several models of an API")
    given = measure.add_mutually_exclusive_group()
    given.add_argument("-i", "--input", dest="inputs", action="append", metavar="NAME=VALUE", help="as easel predict")
    given.add_argument("--json", metavar="OBJECT", help="all inputs as JSON, @file or @-; in texts {n} is a number")
    load = measure.add_argument_group("load")
    load.add_argument("--rate", type=positive, metavar="R", help="requests a second (half of what the warm-up shows)")
    load.add_argument("--requests", type=above_zero, metavar="N", help="of the load (50), or of the trace (all)")
    load.add_argument("--constant", action="store_true", help="evenly spaced; otherwise a Poisson process")
    load.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of the arrivals and first image (%(default)s)"
    )
    load.add_argument(
        "--trace", type=Path, metavar="FILE", help="arrivals as `easel simulate` reads them: .csv or .parquet"
    )
    load.add_argument("--warm-up", type=whole, default=2, metavar="N", help="requests before the load (%(default)s)")
    load.add_argument("--starts", type=above_zero, default=1, metavar="N", help="cold starts, of an own server (1)")
    load.add_argument("--timeout", type=positive, default=600.0, metavar="S", help="of a request (%(default)g)")
    cost = measure.add_argument_group("cost")
    cost.add_argument("--price-per-second", type=positive, metavar="USD", help="of run time")
    cost.add_argument("--max-cost", type=positive, metavar="USD", help="send nothing that may exceed it")
    cost.add_argument("--yes", action="store_true", help="send to a target that may bill: any beyond this machine")
    results = measure.add_argument_group("results")
    results.add_argument(
        "-o", "--output", type=Path, default=Path("outputs/measure"), metavar="DIR|FILE.jsonl", help="(%(default)s)"
    )
    results.add_argument("--profile", type=Path, metavar="FILE", help="also a profile for easel simulate")
    results.add_argument("--hardware", default="cpu", help="the card's name in that profile (%(default)s)")
    measure.set_defaults(run=run_measure)


def run_measure(args: argparse.Namespace) -> int:
    try:
        from easel.platforms import measure, measured_profile, results, summary
        from easel.platforms.load import read_trace
    except ModuleNotFoundError as error:
        raise InputError(f"`easel measure` needs {error.name}: install the extra, pip install 'easel[plan]'.") from None
    if args.target[:1] == ["compare"]:
        return run_comparison(args.target[1:])
    check_arguments(args)
    settings = measure.Settings(
        requests=args.requests or 50,
        rate=args.rate,
        constant=args.constant,
        trace=tuple(read_trace(args.trace, args.requests)) if args.trace else (),
        trace_name=args.trace.name if args.trace else "",
        seed=args.seed,
        warm_up=args.warm_up,
        timeout=args.timeout,
        price=args.price_per_second,
        max_cost=args.max_cost,
        yes=args.yes,
    )
    recording, path = results.Recording(), results_path(args.output)
    try:
        signum = measure_target(args, settings, recording)
    finally:  # what was measured until Ctrl-C, or until the target went away, is kept
        if recording.requests:
            results.write_results(path, recording)
            print_status(summary.report_of(recording))
    if signum and not recording.requests:
        return 128 + signum
    print_result(json.dumps(summary.json_of(recording) | {"results": str(path)}))
    if args.profile and not signum:
        weights = None if args.target else own_weights_bytes(args)
        measured_profile.write_profile(args.profile, measured_profile.profile_of(recording, args.hardware, weights))
    if signum:
        return 128 + signum
    return 0 if any(one.error is None for one in recording.requests) else FAILED


def measure_target(args: argparse.Namespace, settings: "Settings", recording: "Recording") -> int:
    """Fill `recording`. Return the number of the signal that ended it, otherwise 0."""
    from tqdm import tqdm

    from easel.platforms.find_target import REPLICATE, Place, headers_for
    from easel.platforms.inputs import given_inputs
    from easel.platforms.measure import Caller, measure
    from easel.platforms.results import Request, Start

    base = os.environ.get("REPLICATE_BASE_URL") or REPLICATE

    def run(place: Place, load: bool) -> int:
        with tqdm(total=settings.all_requests if load else 1, unit="request", disable=None, leave=False) as bar:

            def step(request: Request) -> None:
                bar.update()

            caller = Caller(
                headers_for(place, base, os.environ),
                lambda about: given_inputs(args.inputs, args.json, about.schema),
                step,
                print_status,
            )
            return asyncio.run(measure(place, settings, caller, recording, load=load))

    if args.target:
        return run(find_place(args, base), load=True)
    check_root(args.root)
    for number in range(args.starts):
        began = time.monotonic()
        with start_server(args) as server:
            recording.starts.append(Start(setup_seconds=time.monotonic() - began))
            place = Place(server.url, own=own_model())
            if signum := run(place, load=number == args.starts - 1):
                return signum
    return 0


def run_comparison(files: list[str]) -> int:
    from easel.platforms.compare import compare, comparison_json, sentence_of, warnings_of
    from easel.platforms.results import read_results

    if len(files) != 2:
        raise InputError("Give two results: easel measure compare A.jsonl B.jsonl")
    a, b = (read_results(Path(file)) for file in files)
    differences = compare(a, b)
    for line in [*warnings_of(a, b), *map(sentence_of, differences)]:
        print_status(line)
    print_result(json.dumps(comparison_json(differences)))
    return 0


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse what does not go together before a server is started for it."""
    if len(args.target) > 1:
        raise InputError(f"Give one target, not {len(args.target)}, or: easel measure compare A.jsonl B.jsonl")
    if args.target and args.starts > 1:
        raise InputError("--starts repeats the start of a server of this command's own: leave the target out.")
    if args.trace and (args.rate or args.constant):
        raise InputError("--trace says when requests are sent: leave --rate and --constant out.")
    if args.max_cost and not args.price_per_second:
        raise InputError("--max-cost needs --price-per-second, the price of the hardware.")


def find_place(args: argparse.Namespace, base: str) -> "Place":
    from easel.platforms.find_target import Place, parse_name, without_v1

    if place := parse_name(args.target[0], base):
        return place
    try:
        return Place(without_v1(clean_url(args.target[0])), model=args.model or "")
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{error}, or a name on Replicate as OWNER/NAME.") from None


def results_path(output: Path) -> Path:
    """Return the file for the results: the given one, or a new one in the given folder."""
    return output if output.suffix == ".jsonl" else output / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"


def own_model() -> str:
    return os.environ.get("EASEL_MODEL") or DEFAULT_MODEL


def own_weights_bytes(args: argparse.Namespace) -> int | None:
    """Return what a new machine fetches for the model of an own server, None where its lock does not say it."""
    try:
        files = read_manifest(args.root / "weights" / own_model()).files
    except EaselError:
        return None
    return sum(file.size or 0 for file in files if file.source)


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, as {text} is")
    return value


def above_zero(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return int(text)
