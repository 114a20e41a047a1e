"""The body that a Cog server gets, with files in it as data URLs: read as they are sent, never whole in memory."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK = 3 * 2**18  # bytes; of three, so that the base64 of one piece has no padding


@dataclass(frozen=True)
class FileUrl:
    """A file that stands in a document as a data URL of the type `kind`."""

    path: Path
    kind: str


class Body:
    """`document` as JSON: its length in bytes, and its pieces."""

    def __init__(self, document: Any) -> None:
        self._files: list[FileUrl] = []
        mark = secrets.token_hex(16)  # which no text of a caller can hold

        def name(value: Any) -> str:
            self._files.append(value)
            return mark

        self._texts = [text.encode() for text in re.split(mark, json.dumps(document, default=name))]
        self._starts = [f"data:{one.kind};base64,".encode() for one in self._files]
        sizes = [one.path.stat().st_size for one in self._files]
        self.length = sum(map(len, self._texts + self._starts)) + sum(4 * ((size + 2) // 3) for size in sizes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for k, text in enumerate(self._texts):
            yield text
            if k < len(self._files):
                yield self._starts[k]
                with self._files[k].path.open("rb") as file:
                    while piece := await asyncio.to_thread(file.read, CHUNK):
                        yield base64.b64encode(piece)
