"""The rows of one group or several, in a process of their own: `python -m gpu_check.child OPTIONS ROW ...`.

Each outcome is a line of JSON on standard output. Whatever else is printed goes to standard error.
"""

import argparse
import importlib
import itertools
import json
import os
import time
import traceback
from pathlib import Path

from gpu_check.context import RESULTS, Context
from gpu_check.rows import MISS, NOT_RUN, ROWS, NotRun, Outcome


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--deadline", type=float, required=True, help="seconds since 1970")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("rows", nargs="+")
    options = parser.parse_args()
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # A library that prints must not disturb the results.
    rows = [row for row in ROWS if row.name in options.rows]
    found = json.loads((options.folder / RESULTS).read_text())
    context = Context(options.folder, options.device, options.tiny, {one["name"]: Outcome(**one) for one in found})
    for group, members in itertools.groupby(rows, key=lambda row: row.group):
        module = importlib.import_module(f"gpu_check.{group}_rows")
        with module.lasting(context):
            for row in members:
                left = options.deadline - time.time() - (0 if options.tiny else row.seconds)
                outcome = measure(module, row.name, context, left)
                context.results[row.name] = outcome
                results.write(json.dumps(outcome.to_json()) + "\n")


def measure(module: object, name: str, context: Context, left: float) -> Outcome:
    """One row's outcome, whatever happens in it; `left` are the seconds that would be left after it."""
    if left < 0:
        return Outcome(name, NOT_RUN, "the time was over")
    try:
        outcome: Outcome = getattr(module, name.partition(".")[2])(context, name)
        return outcome
    except NotRun as reason:
        return Outcome(name, NOT_RUN, str(reason))
    except Exception as error:
        traceback.print_exc()
        return Outcome(name, MISS, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


if __name__ == "__main__":
    main()
