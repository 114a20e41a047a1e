"""Bodies of multipart/form-data, as clients send files."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote_to_bytes

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from easel.api.problems import Problem

ENCODED = re.compile(rb";\s*filename\*=utf-8'[\w-]*'([^;\s]+)", re.IGNORECASE)


class Parser(MultiPartParser):
    """Starlette's, that takes a name which stands as `filename*=` alone for one (RFC 8187)."""

    def on_headers_finished(self) -> None:
        disposition = self._current_part.content_disposition or b""
        if (found := ENCODED.search(disposition)) and b"filename=" not in disposition:
            name = unquote_to_bytes(found[1]).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            self._current_part.content_disposition = disposition + b'; filename="' + name + b'"'
        super().on_headers_finished()


@asynccontextmanager
async def read_form(
    request: Request, max_files: int = 2, max_fields: int = 1000, part: str = "content"
) -> AsyncIterator[FormData]:
    """Give the parts of a request's body, whose files are closed at the end. Raises Problem (400).

    `part` is the name of the file that must be there. JavaScript sends the metadata as a file as well.
    """
    try:
        form = await Parser(request.headers, request.stream(), max_files=max_files, max_fields=max_fields).parse()
    except (MultiPartException, KeyError, AssertionError, UnicodeError) as error:
        detail = getattr(error, "message", "it is not as its Content-Type says")
        raise Problem(400, f"The body must be multipart/form-data with the part `{part}`: {detail}") from None
    try:
        yield form
    finally:
        await form.close()
