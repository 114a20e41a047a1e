"""Where a data set is: on this machine, or at an address."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from easel.net.fetch import fetch
from easel.net.guard import Network
from easel.net.urls import shown_url

MAX_FETCHED = 2_000_000_000  # bytes
FETCH_S = 3600.0  # seconds in which they arrive at 0.6 MB/s


@contextmanager
def local_dataset(source: str, log: Callable[[str], None], network: Network | None = None) -> Iterator[Path]:
    """Give the path of a data set. What an https:// address names is fetched to a temporary file, removed at the end.

    `log` gets a line for each further attempt. Raises FetchError above 2 GB and for an address that is not public.
    """
    if "://" not in source:
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="easel-dataset-") as folder:
        target = Path(folder) / "dataset"
        network = network or Network(total_s=FETCH_S)
        fetch(source, target, label=shown_url(source), log=log, max_bytes=MAX_FETCHED, network=network)
        yield target
