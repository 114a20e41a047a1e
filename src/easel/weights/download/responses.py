"""What a response to a request for a range says of the file, and which error follows from it."""

import re
from dataclasses import dataclass

from urllib3 import BaseHTTPResponse

from easel.errors import FetchError
from easel.net.fetch import ETAG, TRANSIENT, retry_after


class TransientError(Exception):
    """Another attempt may succeed. The text continues "<host> ...".

    `wait_s` is how long the server asks to wait, and `for_all` says that it asks it of all connections.
    """

    def __init__(self, problem: str, wait_s: float | None = None, for_all: bool = False) -> None:
        super().__init__(problem)
        self.wait_s = wait_s
        self.for_all = for_all


class RangesUnsupported(Exception):
    """The server sends only the whole file. The text continues "<host> ..."."""


class FileChanged(Exception):
    """What has arrived is not of the file as it is now. The text is a sentence without its full stop."""


class Refused(Exception):
    """Status 401 or 403: a signed URL that has expired, or a token that is missing. The text continues "<host> ..."."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refuses it (status {status})")


@dataclass(frozen=True)
class RemoteFile:
    """The file as the server describes it. `etag` is the server's name for this version of it."""

    size: int | None  # bytes
    etag: str | None
    ranges: bool

    @property
    def condition(self) -> dict[str, str]:
        """Return the If-Range header, which takes a strong ETag only (RFC 9110, 13.1.5)."""
        return {"If-Range": self.etag} if self.etag and self.etag.startswith('"') else {}


def check_response(response: BaseHTTPResponse) -> None:
    """Return for status 200, 206 or 416 with the file's own bytes. Raises Refused, TransientError and FetchError."""
    status = response.status
    if status in (401, 403):
        raise Refused(status)
    if status in (*TRANSIENT, 408):
        wait_s = retry_after(response.headers.get("Retry-After", ""))
        raise TransientError(f"answers with status {status}", wait_s, for_all=status == 429)
    if status in (404, 410):
        raise FetchError(f"The server has no such file (status {status}): check the address that the lock file gives.")
    if status not in (200, 206, 416):
        raise FetchError(f"The server answers with status {status} instead of the file. Try again later.")
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise FetchError("The server sends the file compressed, which was not asked for: use an address that does not.")


def parse_etag(response: BaseHTTPResponse) -> str | None:
    """Return the ETag, or None if there is no valid one."""
    etag = response.headers.get("ETag", "")
    return etag if re.fullmatch(ETAG, etag) else None


def parse_content_range(response: BaseHTTPResponse) -> tuple[int, int, int] | None:
    """Return first byte, last byte and total size by Content-Range, or None if it does not say them."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def parse_length(response: BaseHTTPResponse) -> int | None:
    """Return the body's length in bytes, or None if its end is marked in another way."""
    text = response.headers.get("Content-Length", "")
    chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    return int(text) if not chunked and re.fullmatch(r"[0-9]{1,18}", text) else None


def parse_probe(response: BaseHTTPResponse) -> RemoteFile:
    """Return what the response to a request for the first byte says of the file."""
    etag = parse_etag(response)
    if response.status == 200:
        return RemoteFile(parse_length(response), etag, ranges=False)
    span = parse_content_range(response) if response.status == 206 else None
    if span is None or span[:2] != (0, 0) or parse_length(response) not in (1, None):
        return RemoteFile(None, etag, ranges=False)
    return RemoteFile(span[2], etag, ranges=True)


def check_range(response: BaseHTTPResponse, first: int, last: int, remote: RemoteFile) -> None:
    """Return for a response with exactly the bytes `first` to `last`. Raises FileChanged and RangesUnsupported."""
    etag, span = parse_etag(response), parse_content_range(response)
    if remote.etag and etag and etag != remote.etag:
        raise FileChanged("the server changed it while it was fetched")
    if response.status == 416 or (span and span[2] != remote.size):
        raise FileChanged("the server gave it another size while it was fetched")
    if response.status == 200:
        raise RangesUnsupported("sends no part of a file any more")
    if span != (first, last, remote.size) or parse_length(response) not in (last - first + 1, None):
        raise RangesUnsupported("sends other parts than were asked for")
