"""The API's own addresses in an input: their files go to the Cog server, which may be on a machine that cannot ask."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from easel.api.database import Database
from easel.api.outputs import FILE, Outputs, media_type
from easel.api.problems import Problem
from easel.api.request_body import FileUrl
from easel.api.tables import File, Prediction
from easel.api.telemetry import now
from easel.errors import InputError

MOST_FILES = 100  # of one input
GONE = "is not here any more: it was deleted, or its time is over. Upload it again."


class OwnFiles:
    """`base` is the public URL without /v1."""

    def __init__(self, base: str, outputs: Outputs) -> None:
        self._files, self._delivery, self._outputs = f"{base}/v1/files/", f"{base}/delivery/", outputs

    def is_own(self, text: str) -> bool:
        """Return whether it is an address of a file of this API, there or not."""
        return text.startswith((self._files, self._delivery)) and not any(one.isspace() for one in text)

    async def check(self, given: dict[str, Any], account: str, database: Database) -> None:
        """Raise Problem (422) if the input names a file that is not there, or not of this account."""
        for k, (field, address) in enumerate(self._find(given, "input")):
            if k == MOST_FILES:
                raise Problem(422, f"- {field}: an input may have {MOST_FILES} files at most\n")
            path = self._path(address)
            is_there = path is not None
            if path and address.startswith(self._files):
                row = await database.get(File, path.name)
                is_there = row is not None and row.account == account and row.expires_at > now()
            if not is_there:
                fields = [{"type": "gone", "field": field, "description": f"this file {GONE}"}]
                raise Problem(422, f"- {field}: this file {GONE}\n", invalid_fields=fields)

    def _find(self, value: Any, field: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, str) and self.is_own(value):
            yield field, value
        elif isinstance(value, list):
            for k, one in enumerate(value):
                yield from self._find(one, f"{field}.{k}")
        elif isinstance(value, dict):
            for name, one in value.items():
                yield from self._find(one, f"{field}.{name[:100]}")

    def _path(self, address: str) -> Path | None:
        if address.startswith(self._files):
            return self._outputs.upload(address.removeprefix(self._files).partition("/")[0].partition("?")[0])
        identity, _, name = address.removeprefix(self._delivery).partition("/")
        return self._outputs.path(identity, name.partition("?")[0])

    def resolve(self, prediction: Prediction) -> dict[str, Any]:
        """Return the input for the Cog server, with a FileUrl for each file; blocking.

        Raises InputError if one has gone.
        """

        def value(given: Any, field: str) -> Any:
            if isinstance(given, list):
                return [value(one, field) for one in given]
            if isinstance(given, dict) and set(given) != {FILE}:
                return {name: value(one, field) for name, one in given.items()}
            if isinstance(given, dict):
                path = self._outputs.path(prediction.id, str(given[FILE]))
            elif isinstance(given, str) and self.is_own(given):
                path = self._path(given)
            else:
                return given
            if not path:
                raise InputError(f"{field}: this file {GONE}")
            return FileUrl(path, media_type(path.name) if path.suffix else sniff(path))

        given = prediction.given or prediction.input
        return {name: value(one, f"input.{name}") for name, one in given.items()}


def sniff(path: Path) -> str:
    """Return the type of bytes that came without one, as some clients lose it on the way."""
    with path.open("rb") as file:
        start = file.read(16)
    for begin, kind in ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif")):
        if start.startswith(begin):
            return kind
    return "image/webp" if start[8:12] == b"WEBP" else "application/octet-stream"
