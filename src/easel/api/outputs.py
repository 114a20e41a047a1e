"""Output files of predictions and uploaded ones: in folders, served with their type, gone when their time is over."""

import base64
import mimetypes
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from easel.client import EXTENSIONS


class Outputs:
    """`folder`/outputs/<prediction id>/<name> and `folder`/files/<file id>."""

    def __init__(self, folder: Path) -> None:
        self._outputs = folder / "outputs"
        self.uploads = folder / "files"
        self._outputs.mkdir(parents=True, exist_ok=True)
        self.uploads.mkdir(exist_ok=True)

    def save(self, prediction_id: str, output: Any) -> Any:
        """`output` with each data URL written to a file and {FILE: its name} in its place; blocking."""
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
            try:
                content = base64.b64decode(data, validate=True)
            except ValueError:
                return value
            extension = EXTENSIONS.get(kind) or mimetypes.guess_extension(kind, strict=False) or ".bin"
            name = f"out-{count}{extension}"
            count += 1
            self.put(prediction_id, name, content)
            return {FILE: name}

        return stored(output)

    def put(self, prediction_id: str, name: str, content: bytes) -> None:
        folder = self._outputs / prediction_id
        folder.mkdir(exist_ok=True)
        unfinished = folder / f".{name}"
        unfinished.write_bytes(content)
        unfinished.replace(folder / name)

    def path(self, prediction_id: str, name: str) -> Path | None:
        """The file, if there is one. Names come from a URL: what is no plain name is none."""
        if not prediction_id.isalnum() or "/" in name or name.startswith("."):
            return None
        path = self._outputs / prediction_id / name
        return path if path.is_file() else None

    def remove(self, prediction_id: str) -> None:
        shutil.rmtree(self._outputs / prediction_id, ignore_errors=True)


FILE = "easel:file"  # the only member of what stands for a file in an output


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
        if set(output) == {FILE}:
            return replace(output[FILE])
        return {name: map_output(one, replace) for name, one in output.items()}
    return output
