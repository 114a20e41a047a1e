"""Runs `easel api` with a task that notices when the event loop stands: `python -m benches.faults.heartbeat ...`.

A line of the file EASEL_BENCH_STALLS for each time: seconds, and how much of them the loop's thread was computing.
Where that is little, the machine had no processor for it, or it waited for the disk.
"""

import asyncio
import os
import sys
import time
from typing import Any

from easel import cli

LIMIT_S = 0.25
BEAT_S = 0.02


async def beat() -> None:
    with open(os.environ["EASEL_BENCH_STALLS"], "a", buffering=1) as stream:  # noqa: PTH123
        while True:
            began, computed = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT_S)
            late = time.monotonic() - began - BEAT_S
            if late > LIMIT_S:
                stream.write(f"{late:.3f} {time.thread_time() - computed:.3f}\n")


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
