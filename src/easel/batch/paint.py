"""The actor of a batch: an engine that is loaded once, and rows in, rows with images out."""

import io
import json
import os
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from easel.batch.answer_row import answer_row
from easel.batch.job import Job
from easel.batch.write import RESULT, store_images
from easel.inference.cog_downloads import limits
from easel.inference.startup import allow_loopback, load_engine
from easel.models import load_model
from easel.schema.openapi import openapi

MAX_UNEXPECTED = 3  # one after another: then it is the machine that is broken, not a request


class Painter:
    """Answers the rows of one block after another. `report` is told (block, rows done, images, errors)."""

    def __init__(self, job: Job, report: Any = None) -> None:
        import pyarrow as pa  # with the schema's types; the driver, which only names this class, has it anyway

        self.table = pa.Table
        self.job, self.report = job, report
        began = time.monotonic()
        with redirect_stderr(io.StringIO()):
            self.engine = load_engine(load_model(Path(job.root) / "weights" / job.model), os.environ)
        self.load_seconds = time.monotonic() - began
        self.schema = openapi(Path(job.root) / "predict.py")
        self.unexpected = 0

    def __call__(self, table: Any) -> Any:
        results, images = [], 0
        for row in table.to_pylist():
            made, files = self.paint(row)
            images += len(files)
            results.append(store_images(self.job, made, files))
            if self.report:
                errors = sum(one["error"] is not None for one in results)
                self.report.add.remote(results[0]["row"], len(results), images, errors)
        return self.table.from_pylist(results, RESULT)

    def estimate(self, rows: list[dict[str, Any]]) -> tuple[float, float]:
        """Return the seconds of loading and the mean seconds of these rows, of which nothing is kept."""
        return self.load_seconds, sum(self.paint(row)[0]["seconds"] for row in rows) / max(len(rows), 1)

    def paint(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return the row's result, and its images by their names. A request that fails has its sentence there."""
        inputs = json.loads(row["inputs"])
        made, files = answer_row(self.engine.answer, row, inputs, self.schema, limits(allow_loopback(os.environ)))
        self.unexpected = self.unexpected + 1 if made.pop("unexpected") else 0
        if self.unexpected >= MAX_UNEXPECTED:
            raise RuntimeError(f"{MAX_UNEXPECTED} requests failed one after another, the last by: {made['error']}")
        return made, files
