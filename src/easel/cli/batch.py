"""`easel batch`: the subcommand."""

import argparse
import importlib.util
import os
import secrets
import sys
from typing import Any

from easel.errors import InputError
from easel.models import DEFAULT_MODEL

DESCRIPTION = """\
Make the images of many requests, on all GPUs or cores of this machine or of a Ray cluster. IN is a file or a folder of
.jsonl (also OpenAI's batch files), .csv or .parquet; OUT gets images and a table of results. Both may be on an object
store (s3://...). After a stop of any kind the same command goes on. See docs/batch.md.
"""


def add_batch_command(commands: Any, common: argparse.ArgumentParser) -> None:
    batch = commands.add_parser(
        "batch", parents=[common], help="make the images of many requests", description=DESCRIPTION
    )
    batch.add_argument("input", metavar="IN", help="the requests")
    batch.add_argument("output", metavar="OUT", help="folder for images and results")
    batch.add_argument("--images-in-table", action="store_true", help="images as a column of the results, not as files")
    batch.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster (one is started here, and ended)")
    batch.add_argument("--cpus-per-actor", type=int, default=1, metavar="N", help="without a GPU (%(default)s)")
    batch.add_argument("--price-per-hour", metavar="USD", help="of one actor, or PLATFORM/CARD as modal/l40s")
    batch.add_argument("--max-cost", type=float, metavar="USD", help="stop before it costs more; needs a price")
    batch.set_defaults(run=run_batch)


def run_batch(args: argparse.Namespace) -> int:
    """Check the arguments and become the process that does the job, with Ray; the terminal's signals reach it."""
    if not importlib.util.find_spec("ray"):
        raise InputError("`easel batch` needs ray: install the extra, pip install 'easel[batch]'.")
    from easel.batch.job import Job  # with pyarrow, of the extra

    if args.cpus_per_actor < 1:
        raise InputError(f"--cpus-per-actor must be 1 or more, not {args.cpus_per_actor}.")
    price = None if args.price_per_hour is None else read_price(args.price_per_hour)
    if args.max_cost is not None and (price is None or not args.max_cost > 0):
        raise InputError("--max-cost must be above 0 and needs --price-per-hour: give both.")
    job = Job(
        input=args.input,
        output=args.output,
        root=str(args.root),
        model=os.environ.get("EASEL_MODEL") or DEFAULT_MODEL,
        images_in_table=args.images_in_table,
        address=args.address,
        cpus_per_actor=args.cpus_per_actor,
        price_per_hour=price,
        max_cost=args.max_cost,
    )
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *job.arguments()], ray_environ(job.address))  # it does not return


def ray_environ(address: str | None) -> dict[str, str]:
    """Return the environment for Ray: nothing is told to its makers, and without a cluster all is on loopback.

    A Ray of our own has a token of its own, which ends with it: it would keep one in ~/.ray otherwise.
    """
    local = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what keeps it on loopback on other systems
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_task_events_report_interval_ms": "0",  # no record of each task, for a dashboard that is not there
        "RAY_enable_metrics_collection": "0",
    }
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **({} if address else local)}


def read_price(text: str) -> float:
    """Return US dollars an hour, of a number or of PLATFORM/CARD as the planner knows it."""
    platform, slash, card = text.partition("/")
    if slash:
        try:
            from easel.platforms.prices import load_platforms
        except ImportError as error:
            raise InputError(f"A card's price needs {error.name}: pip install 'easel[plan]', or give USD.") from None
        return load_platforms([platform])[0].price(card).value * 3600
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e6:
        raise InputError(f"--price-per-hour must be US dollars or PLATFORM/CARD, as modal/l40s, not {text!r}.")
    return price
