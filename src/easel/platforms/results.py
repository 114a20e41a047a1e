"""What a measurement writes and `easel measure compare` reads: JSON lines, one a start, one a request."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from easel.errors import InputError
from easel.files import disk_errors, write_atomically
from easel.platforms.files import Strict, parse

MAX_BYTES = 1_000_000_000  # about two million requests
Phase = Literal["cold", "warm-up", "warm"]
ErrorKind = Literal[
    "refused",  # 3xx or 4xx: the target does not take it
    "rate_limited",  # 429
    "server_error",  # 5xx
    "timeout",
    "connection",
    "unreadable",  # no JSON, no id, more bytes than anybody reads
    "failed",  # the model ran and said so
    "canceled",
]
Seconds = Annotated[float, Field(ge=0)]


class Run(Strict):
    """The first line: what was measured, and how."""

    kind: Literal["run"] = "run"
    target: str
    protocol: Literal["cog", "replicate"]
    model: str
    version: str
    began_at: str
    easel: str
    inputs: dict[str, Any]
    schedule: str
    rate: float | None = None
    timeout: float
    price_per_second: float | None = None
    max_cost: float | None = None
    answer_seconds: Seconds  # until the target's first answer: where it scales to zero, its container's start
    setup_seconds: Seconds | None = None  # what a Cog server that ran already says of its own start
    slots: int | None = None  # requests that it works on at a time; None: it has a queue of its own


class Start(Strict):
    """One start of a server of this command's own: from its process's start to READY."""

    kind: Literal["start"] = "start"
    setup_seconds: Seconds


class Request(Strict):
    """One request. `intended`, `sent`, `started`, `completed`: seconds since its phase began.

    `latency_seconds` counts from `intended`. `queue_seconds`: before the model ran. `run_seconds`: the target's
    metrics.predict_time.
    """

    kind: Literal["request"] = "request"
    number: int
    phase: Phase
    id: str | None = None
    seed: int | None = None
    intended: Seconds
    sent: Seconds
    started: float | None = None
    completed: Seconds
    queue_seconds: Seconds | None = None
    run_seconds: Seconds | None = None
    latency_seconds: Seconds
    status: str
    error: ErrorKind | None = None
    detail: str | None = None
    retry_after: Seconds | None = None


@dataclass
class Recording:
    """What was measured so far. It stays when the run is broken off."""

    run: Run | None = None
    starts: list[Start] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # sentences for the reader of the summary

    def of(self, *phases: Phase) -> list[Request]:
        """Return the requests of these phases in the order in which they were to be sent."""
        return sorted((one for one in self.requests if one.phase in phases), key=lambda one: one.number)


def write_results(path: Path, recording: Recording) -> None:
    """Write all lines as one file, whole or not at all. Raises ResourceError where the disk does not take it."""
    lines = [recording.run, *recording.starts, *recording.requests]
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as stream:
            stream.writelines(line.model_dump_json(exclude_none=True).encode() + b"\n" for line in lines if line)


def read_results(path: Path) -> Recording:
    """Return what `write_results` wrote. Raises InputError that names the file, the line and what is wrong."""
    kinds: dict[str, type[Run | Start | Request]] = {"run": Run, "start": Start, "request": Request}
    recording = Recording()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has over {MAX_BYTES:,} bytes, which is no file of easel measure.")
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{path}, line {number}"
                try:
                    values = json.loads(line)
                except (ValueError, RecursionError):
                    raise InputError(f"{where}: not JSON. Give a file that easel measure wrote.") from None
                kind = kinds.get(str(values.get("kind"))) if isinstance(values, dict) else None
                if kind is None:
                    raise InputError(f"{where}: no line of easel measure. Give a file that it wrote.")
                read = parse(values, kind, where)
                if isinstance(read, Run):
                    recording.run = read
                elif isinstance(read, Start):
                    recording.starts.append(read)
                else:
                    recording.requests.append(read)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if recording.run is None:
        raise InputError(f"{path} has no line of a run. Give a file that easel measure wrote.")
    return recording
