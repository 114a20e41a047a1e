"""The actor of a batch: an engine that is loaded once, and rows in, rows with images out."""

import io
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
WRITERS = 4  # an object store takes as long for a file as a card for an image; a disk some milliseconds
REPORT_S = 0.5  # as often as the bar asks


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
        self.writers = ThreadPoolExecutor(WRITERS)
        self.unexpected, self.reported = 0, 0.0

    def __call__(self, table: Any) -> Any:
        results, images, errors, rows = list[Future[dict[str, Any]]](), 0, 0, table.to_pylist()
        for row in rows:
            made, files = self.paint(row)
            # The next one is painted meanwhile; a block's images do not pile up where they are written slowly.
            results.append(self.writers.submit(store_images, self.job, made, files))
            if len(results) > WRITERS:
                results[-1 - WRITERS].result()
            images, errors = images + len(files), errors + (made["error"] is not None)
            if self.report and (len(results) == len(rows) or time.monotonic() > self.reported + REPORT_S):
                self.reported = time.monotonic()
                self.report.add.remote(rows[0]["row"], len(results), images, errors)
        return self.table.from_pylist([one.result() for one in results], RESULT)

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
