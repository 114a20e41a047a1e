"""A batch without Ray: rows go through a function that answers many at a time, as Modal's `.map` does."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from easel.batch.job import REQUESTS, RESULTS, Job, prepare, read_tables
from easel.batch.write import RESULT, store_images
from easel.logs import log

CHUNK_ROWS = 500  # whose results become one file, and which are answered again when that was not written
Answers = Iterable[tuple[dict[str, Any], dict[str, bytes]]]


def run_mapped(job: Job, schema: Mapping[str, Any], answer_rows: Callable[[list[dict[str, Any]]], Answers]) -> int:
    """Answer what has no result yet, and return how many rows that were. Raises InputError as `prepare` does."""
    prepare(job, schema, log)
    place = job.place
    done = {number for table in read_tables(place / RESULTS, ["row"]) for number in table.column(0).to_pylist()}
    count = 0
    for rows in chunks(job, done):
        results = []
        for made, files in answer_rows(rows):
            made.pop("unexpected")
            results.append(store_images(job, made, files))
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(results, RESULT), sink)
        (place / RESULTS / f"{rows[0]['row']:09d}.parquet").write(sink.getvalue().to_pybytes())
        count += len(rows)
        log(f"{count:,} requests done")
    return count


def chunks(job: Job, done: set[int]) -> Iterator[list[dict[str, Any]]]:
    waiting: list[dict[str, Any]] = []
    for table in read_tables(job.place / REQUESTS, ["row", "custom_id", "inputs", "error"]):
        waiting += [row for row in table.to_pylist() if row["row"] not in done]
        while len(waiting) >= CHUNK_ROWS:
            yield waiting[:CHUNK_ROWS]
            waiting = waiting[CHUNK_ROWS:]
    if waiting:
        yield waiting
