"""EASEL_COMPILE=1 on the emoji model: what a first and a second start pay for it, and what a request gains."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches.emoji import REPOSITORY, median_of_turns

STEPS = 20


def bench_compile(rounds: int) -> dict[str, float]:
    """Two starts in processes of their own, both with an empty folder of inductor's: only what Easel keeps can help."""
    with tempfile.TemporaryDirectory() as kept:
        first, second = start(kept, rounds), start(kept, rounds)
    return {
        "compile_first_start_s": first["compile_s"],
        "compile_second_start_s": second["compile_s"],
        "compile_ratio": second["compile_s"] / first["compile_s"],
        "compile_ratio_wanted": 0.3,
        "compile_cpu_ratio": second["cpu_s"] / first["cpu_s"],
        "compile_request_ratio": second["request_ratio"],
        "compile_max_difference": max(first["difference"], second["difference"]),
    }


def start(kept: str, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as inductor:
        path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "script")])
        env = os.environ | {"PYTHONPATH": path, "TORCHINDUCTOR_CACHE_DIR": inductor}
        command = [sys.executable, "-m", "benches.compile", kept, str(rounds)]
        figures: dict[str, float] = json.loads(
            subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout
        )
        return figures


def main() -> None:
    """One start: the images uncompiled, then compiled. Times are wall clock, and CPU of this process and g++."""
    import io
    import time

    import numpy as np
    import torch

    from easel.inference.compile import compile_key, compile_modules
    from easel.inference.loader import load_components
    from easel.inference.pipeline import Timings, run_plan
    from easel.models import load_model
    from easel.plan import plan_request
    from easel.request import Request
    from easel.weights.reading import start_reading
    from easel.weights.snapshots import ensure_snapshot
    from easel.weights.store import WeightPaths

    model = load_model(REPOSITORY / "weights" / "emoji")
    components = load_components(
        model, start_reading(ensure_snapshot(model, WeightPaths.from_environ({}), log=lambda line: None)), "cpu"
    )

    def draw(steps: int = STEPS) -> Any:
        plan = plan_request(Request("a red apple", seed=1, num_inference_steps=steps), model)
        (image,) = run_plan(plan, components, Timings(), log=io.StringIO())
        return np.asarray(image, dtype=int)

    exact = draw()
    draw(1)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    key = compile_key(components.digest, torch.device("cpu"))
    compile_modules(
        components.transformer.module,
        [],
        lambda: draw(1),
        Path(sys.argv[1]),
        key,
        lambda line: print(line, file=sys.stderr),
    )
    seconds = {"compile_s": time.perf_counter() - wall, "cpu_s": sum(os.times()[:4]) - cpu}

    def uncompiled() -> None:
        with torch.compiler.set_stance("force_eager"):
            draw()

    times = median_of_turns(int(sys.argv[2]), uncompiled=uncompiled, compiled=draw)
    difference = int(abs(draw() - exact).max())
    print(json.dumps(seconds | {"difference": difference, "request_ratio": times["compiled"] / times["uncompiled"]}))


if __name__ == "__main__":
    main()
