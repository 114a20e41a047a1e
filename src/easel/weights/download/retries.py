"""One connection of a download: it finds the way to the file, and knows how often in a row it has failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path

from easel.errors import FetchError
from easel.weights.download.connection import Connection, Limits, TransientError
from easel.weights.download.responses import Refused, check_answer
from easel.weights.download.signed_url import Report, SignedUrl
from easel.weights.download.threads import ThreadGroup


@dataclass(frozen=True)
class Download:
    """What is fetched, the same in all attempts. `part` and `journal` are what is not finished."""

    target: Path
    label: str
    size: int | None  # bytes
    digest: str | None
    connections: int
    limits: Limits
    route: SignedUrl = field(repr=False)
    report: Report = field(repr=False)

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def journal(self) -> Path:
        return self.target.with_name(self.target.name + ".part.journal")

    def check_size(self, size: int | None) -> None:
        """Raises FetchError if the server has another number of bytes than were ordered."""
        if size is not None and self.size is not None and size != self.size:
            raise FetchError(
                f"{self.label}: {self.route.host} has {size} bytes instead of {self.size}. It is another file than the "
                "lock file names: restore that, or use an address of the right one."
            )


class RetryingConnection:
    """Use it in one thread, in `with`."""

    def __init__(self, order: Download, threads: ThreadGroup) -> None:
        self._order = order
        self._threads = threads
        self._connection = Connection(threads, order.limits)
        self.failures = 0  # in a row, without a byte in between

    def __enter__(self) -> "RetryingConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, headers: Mapping[str, str]) -> HTTPResponse:
        """An answer 200, 206 or 416, its body unread. Raises TransientError and FetchError."""
        route = self._order.route
        while True:
            generation, address = route.current()
            try:
                answer, final = self._connection.get(address, headers)
                check_answer(answer)
            except Refused as refusal:
                self._connection.close()
                route.wait_for_refresh(generation, refusal, self._threads)
            except FetchError as error:
                raise FetchError(f"{self._order.label}: {error}") from None
            else:
                route.set_resolved(generation, final)
                return answer

    def read(self, answer: HTTPResponse, view: memoryview) -> int:
        """Fill `view` as far as the body goes; the number of bytes, which count as arrived."""
        count = self._connection.read(answer, view)
        if count:
            self.failures = 0
            self._order.route.reset_failures()
            self._order.report.add(count)
        return count

    def end(self, answer: HTTPResponse) -> int:
        """Be done with an answer whose body should be at its end; the number of bytes that it still had."""
        return self._connection.read_rest(answer)

    def close(self) -> None:
        """Leave an answer unread; the next request opens another connection."""
        self._connection.close()

    @property
    def has_failed_enough(self) -> bool:
        return self.failures >= self._order.limits.retries

    def wait(self, error: TransientError) -> None:
        """Wait before the next attempt. Raises FetchError when there were enough of them."""
        self._connection.close()
        limits = self._order.limits
        problem = f"{self._order.label}: {self._order.route.host} {error}"
        if self.has_failed_enough:
            raise FetchError(f"{problem}, {self.failures + 1} times. Try again later.") from None
        wait_s = limits.backoff_s * 2**self.failures if error.wait_s is None else error.wait_s
        wait_s = min(wait_s, limits.max_wait_s)
        self.failures += 1
        self._order.report.note(f"{problem}; the next attempt follows in {wait_s:g} s")
        if error.for_all:
            self._threads.pause(wait_s)
        self._threads.sleep(wait_s)
