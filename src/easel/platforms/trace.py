"""Arrivals from a file, as logs have them: .csv or .parquet."""

from pathlib import Path
from typing import Any

import numpy as np

from easel.errors import InputError
from easel.platforms.profile import Floats

COLUMNS = ("seconds", "time", "timestamp", "arrival")  # the first of these that a file has
DAY = 86400.0
MAX_DAYS = 3660
UNIX_TIME = 1e8  # numbers from here on are Unix time, in seconds (1973),
MILLISECONDS = 1e11  # from here on in milliseconds


def read_arrivals(path: Path) -> Floats:
    """Return a file's arrivals in order, float64 seconds: from 0, or from the start of the first one's day (UTC).

    They are in a column of COLUMNS, as numbers or timestamps, in any order. A CSV of numbers alone needs no first line.
    Raises InputError.
    """
    import pyarrow as pa  # here and below: it takes 0.3 s, and most traffic is described
    from pyarrow import parquet

    try:
        if path.suffix == ".parquet":
            column = parquet.read_table(path, columns=[column_of(parquet.read_schema(path).names)]).column(0)
        elif path.suffix == ".csv":
            column = read_csv(path)
        else:
            raise InputError(f"{path} must be a .csv or .parquet file of arrivals, or a .yaml that describes them.")
        seconds = to_seconds(column)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from None
    check_arrivals(seconds, path)
    return np.sort(seconds)


def read_csv(path: Path) -> Any:
    from pyarrow import csv

    table = csv.read_csv(path)
    names = table.column_names
    if len(names) == 1 and is_number(names[0]):
        return csv.read_csv(path, csv.ReadOptions(column_names=["seconds"])).column(0)
    return table.column(column_of(names))


def column_of(names: list[str]) -> str:
    """Return which column has the arrivals."""
    for name in COLUMNS:
        if name in names:
            return name
    wanted, found = ", ".join(COLUMNS), ", ".join(map(repr, names[:10]))
    raise InputError(f"The file must have one of the columns {wanted}, and has {found}.")


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_seconds(column: Any) -> Floats:
    """Return numbers or timestamps as seconds; dates count from the start of the first one's day."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        seconds = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() / 1e6
        return from_first_day(seconds)
    seconds = column.cast(pa.float64()).to_numpy()
    first = seconds.min() if seconds.size else 0.0
    if UNIX_TIME <= first < np.inf:  # no, where one is not a number
        return from_first_day(seconds / (1000 if first >= MILLISECONDS else 1))
    return np.asarray(seconds, np.float64)


def from_first_day(seconds: Floats) -> Floats:
    return seconds - np.floor(seconds.min() / DAY) * DAY if seconds.size else seconds


def check_arrivals(seconds: Floats, path: Path) -> None:
    """Raise InputError unless there is one, and all are finite, not negative and within MAX_DAYS."""
    if not seconds.size:
        raise InputError(f"{path} has no arrival.")
    wrong = ~np.isfinite(seconds) | (seconds < 0) | (seconds > MAX_DAYS * DAY)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: arrivals must be from 0 to {MAX_DAYS * DAY:,.0f} seconds ({MAX_DAYS:,} days) from the start, or "
            f"dates; arrival {row + 1} is {seconds[row]}."
        )
