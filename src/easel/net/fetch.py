"""Fetch one file over https from wherever a request names, guarded: see `guard.py` for where it may connect to.

A credential travels as a Bearer header, and only to the scheme, host and port that it was given for. No error, log line
or repr shows a token or a URL's query: they show the `label`.
"""

import hashlib
import io
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

import httpcore2

from easel.errors import FetchError, UnreachableError
from easel.files import disk_errors, write_atomically
from easel.net.guard import SLICE_S, Network, TransferError
from easel.net.redirects import Credential, final_answer, split_address

MAX_BYTES = 2_000_000_000  # A LoRA of every layer at rank 128 in float32 stays under 1.5 GB.
MAX_JSON_BYTES = 5_000_000
ETAG = r'(?:W/)?"[\x21\x23-\x7e]{1,200}"'  # RFC 9110, in ASCII: it is sent back as a header
TRANSIENT = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Fetched:
    size: int  # bytes
    digest: str  # "sha256:" and 64 hex digits
    etag: str | None


@dataclass(frozen=True)
class FetchJob:
    """What is fetched and how: one for all attempts. `url` may hold a signature."""

    url: str = field(repr=False)
    label: str
    headers: Mapping[str, str] = field(repr=False)
    credential: Credential | None
    max_bytes: int
    network: Network = field(repr=False)
    log: Callable[[str], None] = field(repr=False)
    deadline: float
    target: Path  # where the disk's errors say that it is written


class NotModified(Exception):
    """The server still has what the given If-None-Match names."""


class Busy(TransferError):
    def __init__(self, status: int, wait_s: float | None) -> None:
        super().__init__(f"answers with status {status}")
        self.wait_s = wait_s


def fetch(
    url: str,
    target: Path,
    *,
    label: str,
    log: Callable[[str], None],
    headers: Mapping[str, str] | None = None,
    credential: Credential | None = None,
    max_bytes: int = MAX_BYTES,
    network: Network | None = None,
    deadline: float | None = None,
) -> Fetched | None:
    """Write what `url` answers to `target`, which appears whole or not at all; None for an answer 304 to an
    If-None-Match in `headers`.

    `log` gets a line for each further attempt. `deadline` (on the network's clock) may be one that other fetches share;
    by default it is the network's `total_s` from now. Raises FetchError (refused, missing, too large),
    UnreachableError (busy or broken off too often), ResourceError (the disk does not take it) and InputError (the
    token is none).
    """
    job = make_job(url, label, headers, credential, max_bytes, network, log, target, deadline)
    try:
        with disk_errors(target), write_atomically(target) as stream:
            return transfer(job, stream)
    except NotModified:
        return None


def fetch_into(
    stream: BinaryIO,
    url: str,
    *,
    label: str,
    log: Callable[[str], None],
    credential: Credential | None = None,
    max_bytes: int = MAX_JSON_BYTES,
    network: Network | None = None,
    deadline: float | None = None,
) -> None:
    """Do as `fetch`, into a stream that can be begun anew."""
    place = Path(tempfile.gettempdir())  # of a stream that goes to disk at all
    transfer(make_job(url, label, None, credential, max_bytes, network, log, place, deadline), stream)


def fetch_bytes(url: str, *, label: str, log: Callable[[str], None], **options: Any) -> bytes:
    """Do as `fetch_into`, for a small answer."""
    stream = io.BytesIO()
    fetch_into(stream, url, label=label, log=log, **options)
    return stream.getvalue()


def fetch_json(url: str, *, label: str, **options: Any) -> Any:
    """Do as `fetch_bytes`, for an answer in JSON of at most 5 MB; FetchError also when it is none."""
    try:
        return json.loads(fetch_bytes(url, label=label, **options))
    except (ValueError, RecursionError):
        raise FetchError(f"{label}: the answer of {host_of(url)} is not JSON that can be read.") from None


def make_job(
    url: str,
    label: str,
    headers: Mapping[str, str] | None,
    credential: Credential | None,
    max_bytes: int,
    network: Network | None,
    log: Callable[[str], None],
    target: Path,
    deadline: float | None,
) -> FetchJob:
    network = network or Network()
    if deadline is None:
        deadline = network.clock() + network.total_s
    return FetchJob(url, label, headers or {}, credential, max_bytes, network, log, deadline, target)


def transfer(job: FetchJob, stream: BinaryIO) -> Fetched:
    """Try a job as often as its network allows; the stream then holds the bytes of the last attempt."""
    attempts = job.network.retries + 1
    for attempt in range(attempts):
        stream.seek(0)
        stream.truncate()
        try:
            return transfer_once(job, stream)
        except TransferError as error:
            wait_s = job.network.backoff_s * 2**attempt
            if isinstance(error, Busy) and error.wait_s is not None:
                wait_s = error.wait_s
            wait_s = min(wait_s, job.network.max_backoff_s)
            problem = f"{job.label}: {host_of(job.url)} {error}"
            if job.network.clock() + wait_s > job.deadline:
                raise UnreachableError(f"{problem}, and {job.network.total_s:g} s are over. Try again later.") from None
            if attempt + 1 == attempts:
                raise UnreachableError(f"{problem}, {attempts} times. Try again later.") from None
            job.log(f"{problem}; attempt {attempt + 2} of {attempts} follows in {wait_s:g} s")
            pause(wait_s, job.network.clock)
    raise AssertionError("the last attempt returns or raises")


def pause(seconds: float, clock: Callable[[], float]) -> None:
    until = clock() + seconds
    while (left := until - clock()) > 0:
        time.sleep(min(left, SLICE_S))


def transfer_once(job: FetchJob, stream: BinaryIO) -> Fetched:
    digest, size = hashlib.sha256(), 0
    try:
        with final_answer(job.url, job.headers, job.credential, job.network, job.deadline) as answer:
            headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
            check_status(job, answer.status, headers)
            if int(headers.get("content-length") or 0) > job.max_bytes:
                raise too_large(job)
            for chunk in answer.iter_stream():
                size += len(chunk)
                if size > job.max_bytes:
                    raise too_large(job)
                digest.update(chunk)
                with disk_errors(job.target):
                    stream.write(chunk)
    except (httpcore2.ProtocolError, OSError):  # the network's: the disk's has become a ResourceError
        # The text of the first can quote a header.
        raise TransferError("breaks off in the middle" if size else "gives no proper answer") from None
    except FetchError as error:
        raise type(error)(f"{job.label}: {error}") from None
    etag = headers.get("etag", "")
    return Fetched(size, "sha256:" + digest.hexdigest(), etag if re.fullmatch(ETAG, etag) else None)


def host_of(url: str) -> str:
    return split_address(url).hostname or "the host"


def check_status(job: FetchJob, status: int, headers: Mapping[str, str]) -> None:
    """Returns for an answer whose body is the file."""
    if status == 200:
        if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise FetchError(f"{host_of(job.url)} sends the file compressed, which was not asked for.")
        return
    if status == 304 and "If-None-Match" in job.headers:
        raise NotModified
    if status in TRANSIENT:
        raise Busy(status, retry_after(headers.get("retry-after", "")))
    if status in (401, 403):
        raise FetchError(f"{host_of(job.url)} refuses it (status {status}). {token_advice(job.credential)}")
    if status in (404, 410):
        raise FetchError(f"{host_of(job.url)} has no such file or model (status {status}): check the reference.")
    kind = UnreachableError if status >= 500 else FetchError
    raise kind(f"{host_of(job.url)} answers with status {status} instead of the file.")


def token_advice(credential: Credential | None) -> str:
    if credential is None:
        return "Use an address that needs no login, for instance a signed URL."
    if credential.token:
        return f"The token in {credential.input} does not open it: check that it is valid and may read this model."
    return f"It may be private, gated or misspelt: if it is yours to use, give a token in {credential.input}."


def retry_after(text: str) -> float | None:
    """Return the seconds to wait by a Retry-After header (a number or a date), if there is a readable one."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def too_large(job: FetchJob) -> FetchError:
    size = f"{job.max_bytes / 1e9:g} GB" if job.max_bytes >= 1e8 else f"{job.max_bytes} bytes"
    return FetchError(f"{host_of(job.url)} sends more than {size}, the most that is accepted.")
