"""What Z-Image-Turbo does on this machine's GPU: a table for people, then one JSON line.

    script/gpu-check [--only NAME ...] [--seconds N] [--out FILE]
    script/gpu-check --train          100 steps of a training, at 512 and at 1024 pixels, and nothing else
    script/gpu-check --tiny           every row at tiny size on the CPU, in two minutes
    script/gpu-check --table [FILE]   write the table of docs/benchmarks.md from the runs in docs/gpu, and from FILE

It fetches nothing. It makes the model's real layer sizes with random bfloat16 weights (33 GB on the disk: once in the
lock's layout and once as diffusers saves them), loads them through Cog's own server, and looks at start, memory,
images, times and options. A row is pass, miss (wanted and measured) or not run. One that fails or crashes stops no
other.

Where there is a .venv it is used. Elsewhere nothing is set up, and the `python3` at hand needs the packages: what a
machine with torch lacks, script/gpu-wheels fetches.

Exit status: 0 no row missed, 1 some did, 2 wrong arguments or no GPU, 130 interrupted.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from gpu_check import report
from gpu_check.children import Job, run_rows
from gpu_check.context import REPOSITORY
from gpu_check.rows import GROUPS, MISS, NOT_RUN, ROWS, TRAIN, Outcome, Row, rows_within, select_rows

SECONDS, TINY_SECONDS = 540, 3600
DISK_BYTES = 36 * 10**9
# Side by side at tiny size, where no time counts, and what is in one tuple in one process, since to import torch takes
# most there; on a card one after the other, each group in a process of its own.
TINY_LANES = ((("plain",), ("server",), ("engine", "options", "mode", "train")), (("compile",),))


def main() -> int:
    options = parse()
    if options.table is not None:
        return write_table(options.table)
    try:
        rows = select_rows([*options.only, *([TRAIN] if options.train else [])])
    except ValueError as error:
        return fail(str(error))
    seconds = options.seconds or (TINY_SECONDS if options.tiny else SECONDS)
    kept = rows_within(rows, seconds)
    folder = options.folder or REPOSITORY / ".cache" / "gpu-check" / ("tiny" if options.tiny else "real")
    folder.mkdir(parents=True, exist_ok=True)
    if not options.tiny and (problem := obstacle(folder)):
        return fail(problem)
    began = time.time()
    found = [Outcome(row.name, NOT_RUN, f"dropped for --seconds {seconds:g}") for row in rows if row not in kept]
    job = Job(folder, "cpu" if options.tiny else "cuda", options.tiny, began + seconds, show)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    try:
        run_groups(job, kept, found)
    except KeyboardInterrupt:
        interrupted = True
    known = {outcome.name: outcome for outcome in found}
    outcomes = [known.get(row.name) or Outcome(row.name, NOT_RUN, "interrupted") for row in rows]
    document = report.to_document(outcomes, options.tiny, time.time() - began, date.today().isoformat())
    print_report(outcomes, document)
    if options.out:
        options.out.write_text(json.dumps(document) + "\n")
    return 130 if interrupted else 1 if any(one.result == MISS for one in outcomes) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = ", ".join(row.name for row in ROWS)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"these rows or groups: {', '.join(GROUPS)}; {rows}",
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help=f"time for all ({SECONDS}): the least important rows are dropped"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there as well")
    parser.add_argument("--folder", type=Path, help="where the weights are made and kept (.cache/gpu-check)")
    parser.add_argument("--train", action="store_true", help="the rows of a training, which are not among all")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on the CPU: tries the check itself")
    parser.add_argument("--table", nargs="*", type=Path, metavar="FILE", help="write the table of docs/benchmarks.md")
    return parser.parse_args()


def run_groups(job: Job, rows: Sequence[Row], found: list[Outcome]) -> None:
    def run(processes: Sequence[Sequence[str]]) -> None:
        for groups in processes:
            if wanted := [row for row in rows if row.group in groups]:
                run_rows(job, wanted, found)

    run([["machine"]])
    if not job.tiny:
        run([[group] for group in GROUPS[1:]])
        return
    with ThreadPoolExecutor(len(TINY_LANES)) as pool:
        for done in [pool.submit(run, lane) for lane in TINY_LANES]:
            done.result()


def obstacle(folder: Path) -> str | None:
    """Why nothing can be measured here."""
    probe = [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.stdout.strip() != "True":
        why = "torch finds no CUDA device" if done.returncode == 0 else "torch cannot be imported"
        return f"{why} with {sys.executable}. This check needs an NVIDIA GPU; --tiny tries every row on the CPU."
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES and not (folder / "complete").exists():
        return f"{folder} has {free / 1e9:.0f} GB free, and the weights take 33 GB. Name another disk with --folder."
    return None


def show(outcome: Outcome) -> None:
    """Progress; the table with all that was measured comes at the end."""
    print(f"{outcome.name:<27} {outcome.result}", file=sys.stderr, flush=True)


def print_report(outcomes: Sequence[Outcome], document: dict[str, object]) -> None:
    print(*map(report.table_line, outcomes), sep="\n")
    counts = {result: sum(one.result == result for one in outcomes) for result in ("pass", MISS, NOT_RUN)}
    print(", ".join(f"{count} {result}" for result, count in counts.items()) + f", in {document['seconds']} s")
    print(json.dumps(document))


def write_table(files: Sequence[Path]) -> int:
    try:
        for path in files:
            print(f"{report.keep(path)} is kept.")
    except ValueError as error:
        return fail(str(error))
    page = report.PAGE.read_text()
    report.PAGE.write_text(report.page_with_table(page))
    print(f"{report.PAGE} has the table.")
    return 0


def fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
