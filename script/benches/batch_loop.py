"""A bare loop beside `easel batch`: an engine, and one request after another, with none of Ray's code.

`python -m benches.batch_loop IN OUT FIRST END STEP` answers each STEP-th line of IN from FIRST on, to before END, and
writes the images to OUT.
"""

import json
import os
import sys
from pathlib import Path

from easel.inference.startup import load_engine
from easel.models import load_model
from easel.request import make_request

MODEL = Path(__file__).resolve().parents[2] / "weights" / "emoji"


def main(requests: str, output: str, first: str, end: str, step: str) -> None:
    lines = Path(requests).read_text().splitlines()
    engine = load_engine(load_model(MODEL), os.environ)
    for k in range(int(first), int(end), int(step)):
        inputs = {name: value for name, value in json.loads(lines[k]).items() if name != "custom_id"}
        (made,) = engine.answer(make_request(inputs), lambda name, value: None)
        (Path(output) / f"{k:09d}.webp").write_bytes(made.read_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
