"""The process in which the page has an archive checked, which can be ended at once. Arguments: the archive, the folder
of the models, and as JSON what was asked. Prints the report as JSON, or {"error": TEXT}.
"""

import json
import sys
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.models import load_model
from easel.training.buckets import resolution_for
from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from easel.training.report import Report, as_json, preview, summary, thumbnail
from easel.training.settings import read_resolutions

# Of a model that is not in the folder nothing is known: as most of the field train theirs.
RESOLUTION, MULTIPLE = 1024, 16
LEAST, MOST = 64, 4096


def main() -> int:
    archive, weights, asked = sys.argv[1:]
    try:
        report = check(Path(archive), Path(weights), json.loads(asked))
    except InputError as error:
        report = {"error": str(error)}
    sys.stdout.write(json.dumps(report))
    return 0


def check(archive: Path, weights: Path, asked: dict[str, str]) -> dict[str, Any]:
    """Return the report as `easel dataset check --json` has it, with its `summary`, and of each image a `thumbnail` in
    which what is cut off is dark. Raises InputError.
    """
    captions = Captions(
        asked.get("trigger_word", "TOK"), asked.get("caption_prefix", ""), asked.get("caption_suffix", "")
    )
    resolution, multiple = size_asked(weights / (asked["model"] or "-"), asked.get("resolution") or None)
    report = Report(read_dataset(archive, captions, keep=preview), resolution, multiple)
    document = as_json(report)
    for shown, example in zip(document["images"], report.dataset.examples, strict=True):
        shown["thumbnail"] = thumbnail(example.image, report.bucket(example))
    return document | {"summary": summary(report)}


def size_asked(folder: Path, text: str | None) -> tuple[int, int]:
    """Return the largest resolution asked for, or the model's own, and what sides are divisible by."""
    numbers = None if text is None else read_resolutions(text)
    if text is not None and numbers is None:
        raise InputError(f"resolution must be numbers of pixels with commas between them, as 512,768, not {text!r}.")
    largest = max(numbers) if numbers else None
    if (folder / "model.yaml").is_file():
        model = load_model(folder)
        return resolution_for(model, largest), model.multiple
    if largest is not None and not LEAST <= largest <= MOST:
        raise InputError(f"resolution must be from {LEAST} to {MOST}, not {largest}.")
    return largest or RESOLUTION, MULTIPLE


if __name__ == "__main__":
    sys.exit(main())
