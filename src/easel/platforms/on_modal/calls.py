"""One call of the app: the inputs of predict.py as Python values, answered by files and metrics."""

import base64
import binascii
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from easel.errors import EaselError, InputError
from easel.images.decode import MAX_BYTES
from easel.local.inputs import check_names
from easel.logs import log
from easel.net.fetch import fetch_bytes
from easel.net.guard import Network
from easel.net.urls import shown_url
from easel.request import Request, make_request

FILES = ("image", "mask")
Run = Callable[[Request, Callable[[str, Any], None]], Sequence[Path]]  # Engine.answer


def answer(run: Run, inputs: Mapping[str, Any], schema: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Return {"files": {name: bytes}, "metrics": {name: value}}.

    `image` and `mask` are the bytes of a file, a data: URL or an https:// address. Raises EaselError with the sentence
    that the Cog server has for the same inputs.
    """
    check_names(inputs, schema)
    metrics: dict[str, Any] = {}
    deadline = network.clock() + network.total_s  # one for both files
    with tempfile.TemporaryDirectory(prefix="easel-") as folder:
        files = {
            name: open_file(name, inputs[name], Path(folder), network, deadline) for name in FILES if name in inputs
        }
        made = run(make_request({**inputs, **files}), metrics.__setitem__)
        return {"files": {path.name: path.read_bytes() for path in made}, "metrics": metrics}


def open_file(name: str, value: Any, folder: Path, network: Network, deadline: float) -> Any:
    """Return a file with what `value` holds or names; what is neither as it is, for the check of the request."""
    if isinstance(value, Path):
        raise InputError(
            f"{name} must be the bytes of a file, a data: URL or an https:// address, not a path, which counts on "
            "another machine. Use its read_bytes()."
        )
    if isinstance(value, str) and value.startswith("data:"):
        value = read_data_url(name, value)
    elif isinstance(value, str) and value.startswith(("https://", "http://")):
        label = f"image or mask: {shown_url(value)}"
        value = fetch_bytes(value, label=label, log=log, max_bytes=MAX_BYTES, network=network, deadline=deadline)
    if not isinstance(value, bytes):
        return value
    path = folder / name
    path.write_bytes(value)
    return path


def read_data_url(name: str, url: str) -> bytes:
    header, comma, payload = url.partition(",")
    try:
        if not comma:
            raise ValueError
        return base64.b64decode(payload, validate=True) if header.endswith(";base64") else unquote_to_bytes(payload)
    except (ValueError, binascii.Error):
        raise InputError(f"{name} is not a data: URL that can be read. Send data:TYPE;base64,DATA.") from None


def plain_error(error: EaselError) -> Exception:
    """Return the error as one of Python's own, which callers can receive who have no Easel: Modal pickles it."""
    return ValueError(str(error)) if isinstance(error, InputError) else RuntimeError(str(error))
