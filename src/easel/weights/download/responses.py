"""What a server's answer to a request for a range says, and what follows from it."""

import re
from dataclasses import dataclass
from http.client import HTTPResponse

from easel.errors import FetchError
from easel.net.fetch import ETAG, TRANSIENT, retry_after
from easel.weights.download.connection import TransientError


class RangesUnsupported(Exception):
    """Only the whole file can be had from there. The text continues "<host> ..."."""


class FileChanged(Exception):
    """What has arrived is not of the file as it is now. The text says so as a sentence without its full stop."""


class Refused(Exception):
    """Status 401 or 403: a signed address that has expired, or a token that is missing."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refuses it (status {status})")


@dataclass(frozen=True)
class RemoteFile:
    """What the first answer said of the file. `etag` is what the server calls this version of it."""

    size: int | None  # bytes; known where it has ranges
    etag: str | None
    ranges: bool

    @property
    def condition(self) -> dict[str, str]:
        """If-Range, which takes a strong ETag only (RFC 9110, 13.1.5)."""
        return {"If-Range": self.etag} if self.etag and self.etag.startswith('"') else {}


def check_answer(answer: HTTPResponse) -> None:
    """Returns for an answer whose status is 200, 206 or 416, and whose body is the file's own bytes."""
    status = answer.status
    if status in (401, 403):
        raise Refused(status)
    if status in (*TRANSIENT, 408):
        wait_s = retry_after(answer.getheader("Retry-After", ""))
        raise TransientError(f"answers with status {status}", wait_s, for_all=status == 429)
    if status in (404, 410):
        raise FetchError(f"The server has no such file (status {status}): check the address that the lock file gives.")
    if status not in (200, 206, 416):
        raise FetchError(f"The server answers with status {status} instead of the file. Try again later.")
    if answer.getheader("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise FetchError("The server sends the file compressed, which was not asked for: use an address that does not.")


def etag_of(answer: HTTPResponse) -> str | None:
    etag = answer.getheader("ETag", "")
    return etag if re.fullmatch(ETAG, etag) else None


def range_of(answer: HTTPResponse) -> tuple[int, int, int] | None:
    """First byte, last byte and total size by Content-Range; None if it does not say them."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", answer.getheader("Content-Range", ""))
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def length_of(answer: HTTPResponse) -> int | None:
    """The body's length in bytes; None if its end is marked in another way."""
    text = answer.getheader("Content-Length", "")
    chunked = answer.getheader("Transfer-Encoding", "").lower() == "chunked"
    return int(text) if not chunked and re.fullmatch(r"[0-9]{1,18}", text) else None


def parse_probe(answer: HTTPResponse) -> RemoteFile:
    """What the answer to a request for the first byte says of the file."""
    if answer.status == 200:
        return RemoteFile(length_of(answer), etag_of(answer), ranges=False)
    said = range_of(answer) if answer.status == 206 else None
    if said is None or said[:2] != (0, 0) or length_of(answer) not in (1, None):
        return RemoteFile(None, etag_of(answer), ranges=False)
    return RemoteFile(said[2], etag_of(answer), ranges=True)


def check_range(answer: HTTPResponse, first: int, last: int, found: RemoteFile) -> None:
    """Returns for an answer that holds exactly the bytes `first` to `last` of the file that was found."""
    etag, said = etag_of(answer), range_of(answer)
    if found.etag and etag and etag != found.etag:
        raise FileChanged("the server changed it while it was fetched")
    if answer.status == 416 or (said and said[2] != found.size):
        raise FileChanged("the server gave it another size while it was fetched")
    if answer.status == 200:
        raise RangesUnsupported("sends no part of a file any more")
    if said != (first, last, found.size) or length_of(answer) not in (last - first + 1, None):
        raise RangesUnsupported("sends other parts than were asked for")
