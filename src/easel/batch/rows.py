"""A record as a row of the job: who it is, and its checked inputs or the sentence that refuses them."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easel.batch.read import Record
from easel.errors import InputError
from easel.local.inputs import cast_text, check_names, resolve_type
from easel.models import Model
from easel.plan import plan_size
from easel.request import check_request, make_request
from easel.sizes import MATCH_INPUT_IMAGE

MAX_ID_CHARACTERS = 512
SECRETS = ("hf_token", "civitai_token")
FILES = ("image", "mask")
OPENAI_URL = "/v1/images/generations"
OPENAI_KEYS = {"custom_id", "method", "url", "body"}
OPENAI_IGNORED = ("model", "user", "response_format")  # the model is the job's, and files are always kept
OPENAI_DEFAULTS = {"output_format": "png", "output_compression": 100}
OPENAI_FORMATS = {"jpeg": "jpg"}


@dataclass(frozen=True)
class Row:
    """`inputs` are by the names of predict.py, with a seed. `size`: width and height, 0 where the image says them."""

    number: int
    custom_id: str
    inputs: dict[str, Any]
    size: tuple[int, int] = (0, 0)
    error: str | None = None


def make_row(record: Record, model: Model, schema: Mapping[str, Any], *, texts: bool) -> Row:
    """Return the row of a record, which always is one; `texts`: its values are cells of CSV."""
    custom_id = f"row-{record.number + 1}"
    try:
        if record.problem:
            raise InputError(record.problem)
        values = dict(record.values)
        custom_id = read_id(values.pop("custom_id", custom_id))
        if "body" in values or "url" in values:
            values = openai_inputs(values)
        if named := [name for name in SECRETS if name in values]:
            raise InputError(f"{named[0]} must not be in a batch's file, which is kept. Use public LoRAs.")
        check_names(values, schema)
        inputs = cast_cells(values, schema) if texts else {name: as_json(value) for name, value in values.items()}
        inputs.setdefault("seed", derive_seed(custom_id))
        return Row(record.number, custom_id, inputs, check_inputs(inputs, model))
    except InputError as error:
        return Row(record.number, custom_id, {}, error=" ".join(str(error).split()).encode(errors="replace").decode())


def read_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARACTERS or not value.isprintable():
        raise InputError(
            f"custom_id must be text of 1 to {MAX_ID_CHARACTERS} printable characters, not {str(value)[:40]!r}."
        )
    return value


def derive_seed(custom_id: str) -> int:
    """Return the seed, below 2^31 as drawn ones are, of a row that names none: the same in each run."""
    return int.from_bytes(hashlib.sha256(custom_id.encode()).digest()[:4]) >> 1


def as_json(value: Any) -> Any:
    """Return a value that JSON can hold: bytes, as Parquet has for an image, become a data: URL."""
    if isinstance(value, bytes):
        return f"data:application/octet-stream;base64,{base64.b64encode(value).decode()}"
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise InputError(f"A value must be text, a number, true, false or a list, not {str(value)[:40]!r}.") from None
    return value


def cast_cells(cells: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return cells of CSV as the JSON types of the inputs; a leading @ names no file here."""
    parts = schema["components"]["schemas"]
    inputs = {}
    for name, text in cells.items():
        json_type = resolve_type(parts["Input"]["properties"][name], parts).get("type")
        plain = json_type in (None, "string") or text.startswith("@")
        inputs[name] = text if plain else cast_text(name, text, json_type)
    return inputs


def check_inputs(inputs: Mapping[str, Any], model: Model) -> tuple[int, int]:
    """Return the size that the request will have. Raises InputError for what can be known before it runs."""
    for name in FILES:
        value = inputs.get(name)
        if value is not None and not (isinstance(value, str) and value.startswith(("https://", "http://", "data:"))):
            raise InputError(f"{name} must be an https:// address or a data: URL, not {str(value)[:80]!r}.")
    request = make_request({**inputs, **{name: Path(name) for name in FILES if name in inputs}})
    check_request(request, model)
    if request.width is None and request.aspect_ratio == MATCH_INPUT_IMAGE:
        return 0, 0
    return plan_size(request, model, None)


def openai_inputs(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a line of OpenAI's batch file: its body, with Easel's own inputs as further keys.

    OpenAI's parameters mean what they mean at `/v1/images/generations` of `easel api`.
    """
    if unknown := set(line) - OPENAI_KEYS:
        raise InputError(f"A line has custom_id, method, url and body; there is no {sorted(unknown)[0]!r}.")
    if line.get("method", "POST") != "POST" or line.get("url") != OPENAI_URL:
        raise InputError(f"method must be POST and url {OPENAI_URL}, not {line.get('method')!r} {line.get('url')!r}.")
    if not isinstance(line.get("body"), dict):
        raise InputError("body must be a JSON object with a prompt.")
    given = {name: value for name, value in line["body"].items() if name not in OPENAI_IGNORED and value is not None}
    body = OPENAI_DEFAULTS | given
    if "output_quality" in given:
        del body["output_compression"]
    if body.pop("quality", None) == "low":
        body.setdefault("go_fast", True)
    if (background := body.pop("background", "opaque")) not in ("opaque", "auto"):
        raise InputError(f"background must be opaque or auto, not {background!r}: images have no transparency here.")
    size = body.pop("size", "auto")
    if size != "auto":
        width, x, height = str(size).partition("x")
        if not (x and width.isdecimal() and height.isdecimal() and len(str(size)) < 12):
            raise InputError(f"size must be auto or WIDTHxHEIGHT, as 1024x1024, not {str(size)[:40]!r}.")
        body |= {"width": int(width), "height": int(height)}
    for theirs, ours in (("n", "num_outputs"), ("output_compression", "output_quality")):
        if theirs in body:
            body[ours] = body.pop(theirs)
    body["output_format"] = OPENAI_FORMATS.get(str(body["output_format"]), body["output_format"])
    return body
