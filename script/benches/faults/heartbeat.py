"""Runs `easel api` with a task that notices when the event loop stands: `python -m benches.faults.heartbeat ...`.

A line of the file EASEL_BENCH_STALLS for each time: for how many seconds, without those in which its thread was ready
and the machine had no processor for it.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from easel.cli import main as cli

LIMIT_S = 0.25
BEAT_S = 0.02


async def beat() -> None:
    with open(os.environ["EASEL_BENCH_STALLS"], "a", buffering=1) as stream:  # noqa: PTH123, ASYNC230 -- a line at most
        while True:
            began, waited = time.monotonic(), waited_for_processor()
            await asyncio.sleep(BEAT_S)
            late = time.monotonic() - began - BEAT_S - (waited_for_processor() - waited)
            if late > LIMIT_S:
                stream.write(f"{late:.3f}\n")


def waited_for_processor() -> float:
    """Seconds for which this thread was ready to run and did not: the second figure of schedstat (Linux)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def run_with_beat(main: Any, **options: Any) -> Any:
    async def both() -> Any:
        task = asyncio.create_task(beat())
        try:
            return await main
        finally:
            task.cancel()

    return run(both(), **options)


run, asyncio.run = asyncio.run, run_with_beat

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[sys.argv.index("easel.cli") + 1 :]))
