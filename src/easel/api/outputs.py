"""Output files of predictions and uploaded ones: in folders, served with their type, gone when their time is over."""

import base64
import json
import mimetypes
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from easel.errors import EaselError
from easel.files import write_atomically
from easel.local.client import EXTENSIONS

PIECE = 2**20  # characters of base64
MOST_TEXT = 4_000_000  # of an output, as JSON: it stands in a row, and in lists


class OutputError(EaselError):
    """A model's output is larger than is kept here."""


class Outputs:
    """`folder`/outputs/<prediction id>/<name> and `folder`/files/<file id>."""

    def __init__(self, folder: Path) -> None:
        self._outputs = folder / "outputs"
        self.uploads = folder / "files"
        self._outputs.mkdir(parents=True, exist_ok=True)
        self.incoming = folder / "incoming"  # bodies that wait to be read; without names, so gone with the process
        self.uploads.mkdir(exist_ok=True)
        self.incoming.mkdir(exist_ok=True)

    def save(self, prediction_id: str, output: Any) -> Any:
        """Return `output` with each data URL written to a file and {FILE: its name} in its place; blocking.

        Raises OutputError if more than 4 MB of text are left.
        """
        count = 0

        def stored(value: Any) -> Any:
            nonlocal count
            if isinstance(value, list):
                return [stored(one) for one in value]
            if isinstance(value, dict):
                return {name: stored(one) for name, one in value.items()}
            if not isinstance(value, str) or not value.startswith("data:"):
                return value
            kind, is_file, data = value.removeprefix("data:").partition(";base64,")
            if not is_file:
                return value  # a text that begins so
            name = f"out-{count}{extension_of(kind)}"
            try:
                self.put_base64(prediction_id, name, data)
            except ValueError:
                return value
            count += 1
            return {FILE: name}

        kept = stored(output)
        if len(json.dumps(kept)) > MOST_TEXT:
            raise OutputError(f"The output has more than {MOST_TEXT // 1_000_000} MB of text. Give it as a file.")
        return kept

    def put(self, prediction_id: str, name: str, content: bytes) -> None:
        self._write(prediction_id, name, (content,))

    def put_base64(self, prediction_id: str, name: str, data: str) -> int:
        """Return how many bytes it was. Raises ValueError for what is no base64; the file is not there then."""
        return self._write(prediction_id, name, decoded(data))

    def _write(self, prediction_id: str, name: str, pieces: Iterable[bytes]) -> int:
        folder = self._outputs / prediction_id
        folder.mkdir(exist_ok=True)
        with write_atomically(folder / name, sync=False) as file:
            return sum(map(file.write, pieces))

    def path(self, prediction_id: str, name: str) -> Path | None:
        """Return the file, if there is one. Names come from a URL: what is no plain name is none."""
        if not prediction_id.isalnum() or "/" in name or name.startswith("."):
            return None
        return existing(self._outputs / prediction_id / name)

    def upload(self, file_id: str) -> Path | None:
        """Return the bytes of an uploaded file, if they are there. Ids come from a URL as well."""
        plain = file_id.replace("-", "").replace("_", "").isalnum()
        return existing(self.uploads / file_id) if plain else None

    def size(self, prediction_id: str, prefix: str) -> int:
        """Return the bytes of all files of a prediction whose name begins so."""
        found = (self._outputs / prediction_id).glob(f"{prefix}*")
        return sum(path.stat().st_size for path in found)

    def folders(self) -> Iterator[tuple[str, float]]:
        """Yield each prediction that has files, and when the last one came (Unix seconds)."""
        for path in self._outputs.iterdir():
            yield path.name, path.stat().st_mtime

    def remove_inputs(self, prediction_id: str) -> None:
        for path in (self._outputs / prediction_id).glob("in-*"):
            path.unlink(missing_ok=True)

    def remove(self, prediction_id: str) -> None:
        shutil.rmtree(self._outputs / prediction_id, ignore_errors=True)


FILE = "easel:file"  # the only member of what stands for a file in an output


def decoded(data: str) -> Iterator[bytes]:
    """Yield each piece of what is base64. One call for all of it would hold up the other threads for its whole time."""
    for start in range(0, len(data), PIECE):
        piece = data[start : start + PIECE]
        content = base64.b64decode(piece, validate=True)
        if start + PIECE < len(data) and len(content) != PIECE // 4 * 3:
            raise ValueError("padding in the middle")
        yield content


def existing(path: Path) -> Path | None:
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or no name at all
        return None


def extension_of(kind: str) -> str:
    """`.webp` for image/webp and so on; `.bin` for what is unknown."""
    return EXTENSIONS.get(kind) or mimetypes.guess_extension(kind, strict=False) or ".bin"


def media_type(name: str) -> str:
    """`image/webp` and its like, the same on every machine; what is unknown is bytes."""
    suffix = Path(name).suffix.lower()
    known = {extension: kind for kind, extension in EXTENSIONS.items()}
    return known.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def data_url(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def map_output(output: Any, replace: Callable[[str], str]) -> Any:
    """`output` with each {FILE: name} replaced by `replace(name)`."""
    if isinstance(output, list):
        return [map_output(one, replace) for one in output]
    if isinstance(output, dict):
        if set(output) == {FILE} and isinstance(output[FILE], str):
            return replace(output[FILE])
        return {name: map_output(one, replace) for name, one in output.items()}
    return output
