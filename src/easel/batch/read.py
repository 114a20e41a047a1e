"""A file of requests, whatever its format, as one record after another; none is held longer than its turn."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyarrow import ArrowException, parquet

from easel.batch.places import Place, chunks
from easel.errors import InputError

LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".parquet")
SUFFIXES = (*LINES, *TABLES)
MAX_LINE_BYTES = 8 * 2**20  # room for an image of 6 MB as a data: URL
TABLE_ROWS = 256  # that are in memory at a time


@dataclass(frozen=True)
class Record:
    """One request as it was given, or the sentence that says why it cannot be read. `number` counts rows from 0."""

    number: int
    values: dict[str, Any]
    problem: str | None = None


def input_files(text: str) -> list[Place]:
    """Return the file, or the files of the folder, that `text` names. Raises InputError."""
    place = Place.parse(text)
    if place.is_folder():
        if not (files := place.files(SUFFIXES)):
            raise InputError(f"{text}: the folder has no file of {', '.join(SUFFIXES)}. Give one that has.")
        return files
    if not place.exists():
        raise InputError(f"{text}: there is no such file. Give a file or a folder of {', '.join(SUFFIXES)}.")
    if not place.path.endswith(SUFFIXES):
        raise InputError(
            f"{text} must be a file of {', '.join(SUFFIXES)}, or a folder of these. Rename it by its format."
        )
    return [place]


def read_records(files: list[Place]) -> Iterator[Record]:
    """Yield each file's records, numbered through. Raises InputError for a table that cannot be read."""
    number = 0
    for place in files:
        if place.path.endswith(LINES):
            records = read_lines(place)
        elif place.path.endswith(".csv"):
            records = read_csv(place)
        else:
            records = read_parquet(place)
        for values, problem in records:
            if values or problem:
                yield Record(number, values, problem)
            number += 1


Values = tuple[dict[str, Any], str | None]


def bounded_lines(place: Place) -> Iterator[bytes | None]:
    """Yield each line without its end, and None for one that is longer than MAX_LINE_BYTES, which is skipped."""
    rest, too_long = b"", False
    for chunk in chunks(place):
        *ended, rest = (rest + chunk).split(b"\n")
        for line in ended:
            yield None if too_long or len(line) > MAX_LINE_BYTES else line.removesuffix(b"\r")
            too_long = False
        if len(rest) > MAX_LINE_BYTES:
            rest, too_long = b"", True
    if rest or too_long:
        yield None if too_long else rest


def read_lines(place: Place) -> Iterator[Values]:
    for line in bounded_lines(place):
        if line is None:
            yield {}, f"The line must have at most {MAX_LINE_BYTES} bytes. Give images by https:// addresses."
        elif not line.strip():
            yield {}, None
        else:
            yield parse_line(line)


def parse_line(line: bytes) -> Values:
    try:
        values = json.loads(line.decode("utf-8-sig"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        return {}, f"The line is not JSON ({' '.join(str(error).split())[:200]}). Write an object."
    if not isinstance(values, dict) or not values:
        return {}, f"The line must be a JSON object, not {line[:40]!r}. Write an object."
    return values, None


def refuse_constant(text: str) -> None:
    raise ValueError(f"JSON has no {text}")


def read_csv(place: Place) -> Iterator[Values]:
    """Yield rows of texts; an empty cell is an input that is not given."""
    rows = csv.reader(line + "\n" for line in text_lines(place))
    header: list[str] = next(rows, [])
    if len(set(header)) < len(header):
        raise InputError(f"{place.path}: a column's name stands twice in the first line. Give each its own.")
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield {}, f"The row is not CSV ({error}). Close its quotes, and keep a cell under 131,072 characters."
            continue
        if len(cells) > len(header):
            yield {}, f"The row has {len(cells)} cells, and the first line has {len(header)}. Quote cells with commas."
        else:
            yield {name: cell for name, cell in zip(header, cells, strict=False) if cell != ""}, None


def text_lines(place: Place) -> Iterator[str]:
    for number, line in enumerate(bounded_lines(place), 1):
        if line is None:
            raise InputError(f"{place.path}, line {number}: it must have at most {MAX_LINE_BYTES} bytes. Shorten it.")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{place.path}, line {number}: it must be UTF-8. Save the file as UTF-8.") from None


def read_parquet(place: Place) -> Iterator[Values]:
    try:
        with place.open() as stream:
            for batch in parquet.ParquetFile(stream).iter_batches(TABLE_ROWS):
                for values in batch.to_pylist():
                    yield {name: value for name, value in values.items() if value is not None}, None
    except (ArrowException, OSError) as error:
        raise InputError(f"{place.path} cannot be read as Parquet ({' '.join(str(error).split())[:200]}).") from None
