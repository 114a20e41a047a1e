"""A batch as its folder has it: `job.json`, the list of requests, the checkpoint, the images and the results."""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from easel.batch.places import Place, digest_files
from easel.batch.read import input_files, read_records
from easel.batch.rows import Row, make_row
from easel.errors import InputError
from easel.models import load_model

CHUNK_ROWS, CHUNK_BYTES = 100_000, 64 * 2**20  # of the list that are sorted by size at a time, in memory
LISTED = pa.schema({"row": pa.int64(), "custom_id": pa.string(), "inputs": pa.string(), "error": pa.string()})
STATE, REQUESTS, CHECKPOINT, RESULTS = "job.json", "requests", "checkpoint", "results"


@dataclass(frozen=True)
class Job:
    """What the command asks for. `price_per_hour`: US dollars of one actor; `images_in_table`: no files of images."""

    input: str
    output: str
    root: str
    model: str
    images_in_table: bool = False
    address: str | None = None
    cpus_per_actor: int = 1
    price_per_hour: float | None = None
    max_cost: float | None = None

    def arguments(self) -> list[str]:
        """Return Python's arguments for the process that does the job."""
        return ["-m", "easel.batch", json.dumps(asdict(self))]

    @property
    def place(self) -> Place:
        return Place.parse(self.output)


def read_job(text: str) -> Job:
    return Job(**json.loads(text))


def prepare(job: Job, schema: Mapping[str, Any], say: Callable[[str], None]) -> int:
    """Write the list of requests, or find it there, and return how many rows it has.

    Raises InputError for an input that is empty or has two rows of one custom_id, and for a folder that has something
    else in it.
    """
    files, place = input_files(job.input), job.place
    wanted = {"input": digest_files(files), "model": job.model, "images_in_table": job.images_in_table}
    if (place / STATE).exists():
        there = json.loads((place / STATE).read())
        if different := [name for name in wanted if there.get(name) != wanted[name]]:
            raise InputError(
                f"{job.output} has the results of another batch ({different[0]} differs). Choose a new folder."
            )
        return int(there["rows"])
    if others := place.names() - {REQUESTS, ".lock"}:
        raise InputError(
            f"{job.output} must be empty or have this batch in it, and has {sorted(others)[0]!r}. Choose a new folder."
        )
    say("reading the requests ...")
    (place / REQUESTS).remove()  # of a run that ended before the list was complete
    (place / REQUESTS).make_folder()
    model = load_model(Path(job.root) / "weights" / job.model)
    texts = files[0].path.endswith(".csv")
    rows = (make_row(record, model, schema, texts=texts) for record in read_records(files))
    count = write_list(rows, place / REQUESTS)
    (place / STATE).write(json.dumps({**wanted, "rows": count}, indent=2).encode() + b"\n")
    return count


def write_list(rows: Iterator[Row], folder: Place) -> int:
    """Write all rows, those of one size side by side, and return their number."""
    digests, chunk, size, part = array("Q"), list[Row](), 0, 0
    for row in rows:
        digests.append(int.from_bytes(blake2b(row.custom_id.encode(), digest_size=8).digest()))
        chunk.append(row)
        size += len(str(row.inputs))
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            write_chunk(chunk, folder / f"{part:06d}.parquet")
            chunk, size, part = [], 0, part + 1
    if chunk:
        write_chunk(chunk, folder / f"{part:06d}.parquet")
    if not digests:
        raise InputError("The input is empty. Give at least one request.")
    known, times = np.unique(np.frombuffer(digests, np.uint64), return_counts=True)
    if twice := set(known[times > 1].tolist()):
        check_twice(twice, folder)
    return len(digests)


def check_twice(digests: set[int], folder: Place) -> None:
    """Raise InputError that names a custom_id which two rows have: here of the few whose digest stands twice."""
    seen: dict[str, int] = {}
    for table in read_tables(folder, ["row", "custom_id"]):
        for row in table.to_pylist():
            name = row["custom_id"]
            if int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) not in digests:
                continue
            if name in seen:
                first, second = sorted((seen[name] + 1, row["row"] + 1))
                raise InputError(f"custom_id must be unique, and rows {first} and {second} both have {name[:80]!r}.")
            seen[name] = row["row"]


def write_chunk(rows: list[Row], place: Place) -> None:
    rows.sort(key=lambda row: (row.size, row.number))
    listed = [
        {"row": row.number, "custom_id": row.custom_id, "inputs": json.dumps(row.inputs), "error": row.error}
        for row in rows
    ]
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(listed, LISTED), sink, row_group_size=1000)
    place.write(sink.getvalue().to_pybytes())


def read_tables(folder: Place, columns: list[str]) -> Iterator[Any]:
    """Yield the folder's Parquet files in parts, with these columns."""
    for place in folder.files((".parquet",)):
        with place.open() as stream:
            yield from parquet.ParquetFile(stream).iter_batches(10_000, columns=columns)


def count_done(job: Job) -> tuple[int, int]:
    """Return how many rows have a result that is committed, and how many of all results are errors."""
    done = sum(
        len(table)
        for place in (job.place / CHECKPOINT).files((".parquet",))
        if not place.path.endswith(".pending.parquet")
        for table in [parquet.read_table(place.path, filesystem=place.filesystem)]
    )
    errors = sum(len(table) - table.column(0).null_count for table in read_tables(job.place / RESULTS, ["error"]))
    return done, errors
