"""Steps of a training by Easel's loop against a minimal loop over the same model; the memory of each."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benches.emoji import REPOSITORY

SIDES = ("minimal", "easel", "preserving")
BLOCK = 5  # steps of one side before the next has its turn
MEMORY_STEPS = 3  # after which it no longer grows
Seconds = tuple[float, float]  # by the clock, and of the process's processor time, for one step


def bench_train(rounds: int) -> dict[str, float]:
    """The sides take turns in one process, which begins with another of them in each round; each has memory of its own
    in another process. With other programs on the machine only processor time is comparable: the ratios are of that.
    """
    from benches.train_sides import SIDES as NEW
    from tqdm import tqdm

    steps = {side: NEW[side]() for side in SIDES}
    times: dict[str, list[Seconds]] = {side: [] for side in SIDES}
    for number in tqdm(range(rounds + 1), desc=" / ".join(SIDES), leave=False):
        turn = number % len(SIDES)
        for side in (*SIDES[turn:], *SIDES[:turn]):
            times[side].append(seconds_of_block(steps[side], number * BLOCK))
    memory = {side: peak_memory(side) for side in SIDES}
    clock = {side: statistics.median(one[0] for one in times[side][1:]) for side in SIDES}
    ratios = {
        side: statistics.median(
            base[1] / own[1] for base, own in zip(times["minimal"][1:], times[side][1:], strict=True)
        )
        for side in SIDES
    }
    figures = {f"train_{side}_steps_per_s": 1 / clock[side] for side in SIDES}
    figures |= {f"train_{side}_peak_gb": memory[side] / 1e9 for side in SIDES}
    return figures | {
        "train_rate": ratios["easel"],  # steps per second of the minimal loop's
        "train_rate_wanted": 0.95,
        "train_rate_preserving": ratios["preserving"],
        "train_memory": memory["easel"] / memory["minimal"],
        "train_memory_allowed": 1.1,
    }


def seconds_of_block(step: Callable[[int], float], first: int) -> Seconds:
    clock, processor = time.perf_counter(), time.process_time()
    for number in range(first, first + BLOCK):
        step(number)
    return (time.perf_counter() - clock) / BLOCK, (time.process_time() - processor) / BLOCK


def peak_memory(side: str) -> int:
    """Bytes, of a process that loads the model and takes a few steps."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(REPOSITORY / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "benches.train_sides", side, str(MEMORY_STEPS)],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1])
