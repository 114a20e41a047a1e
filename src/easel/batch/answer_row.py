"""One row of a batch, answered: its result, and its images. Modal's containers, which lack Ray, use it too."""

import hashlib
import io
import json
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

from PIL import Image

from easel.errors import EaselError
from easel.logs import first_line
from easel.net.urls import shown_url
from easel.platforms.on_modal.calls import Run, answer

MAX_SHOWN = 500  # characters of an error


def answer_row(
    run: Run, row: Mapping[str, Any], inputs: Mapping[str, Any], schema: Mapping[str, Any], network: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the result and {name: image file}. `unexpected` in it: no EaselError, so perhaps the machine is broken."""
    began, error, unexpected, said = time.monotonic(), row["error"], False, io.StringIO()
    files: dict[str, bytes] = {}
    if error is None:
        try:
            with redirect_stderr(said):
                files = answer(run, inputs, schema, network)["files"]
        except EaselError as problem:
            error = str(problem)[:MAX_SHOWN]
        except Exception as problem:  # a batch goes on after a request that nobody foresaw
            error, unexpected = first_line(problem)[:MAX_SHOWN], True
    made = {
        "row": row["row"],
        "custom_id": row["custom_id"],
        "seed": inputs.get("seed") if error is None else None,
        "parameters": json.dumps({name: shown(value) for name, value in inputs.items()}, ensure_ascii=False),
        "digests": [digest_pixels(content) for content in files.values()],
        "seconds": round(time.monotonic() - began, 4),
        "warnings": [line[9:] for line in said.getvalue().splitlines() if line.startswith("warning: ")],
        "error": error,
        "unexpected": unexpected,
    }
    return made, files


def shown(value: Any) -> Any:
    """Return an input as it may be kept: of an address no password and no query, of a data: URL no data."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith("data:"):
        return f"data: of {len(value)} characters"
    return shown_url(value) if value.startswith(("https://", "http://")) else value


def digest_pixels(content: bytes) -> str:
    """Return the SHA-256 of an image file's size and pixels (RGB, 8 bits), whatever else the file holds."""
    with Image.open(io.BytesIO(content)) as image:
        pixels = image.convert("RGB")
    return hashlib.sha256(f"{pixels.width}x{pixels.height} ".encode() + pixels.tobytes()).hexdigest()
