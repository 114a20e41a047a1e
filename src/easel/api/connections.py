"""Connections of callers: how many there may be, and how long one may say nothing. No token is known yet then."""

import logging
import resource
import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

MOST_CONNECTIONS = 2000
BACKLOG = 128  # which asyncio accepts in one go, and again before the first of them can make room
RESERVE = 4 * BACKLOG + 100  # file numbers for these, the database, Cog servers, webhooks, files
HEAD_S = 10.0  # for the whole head of a request
STALL_S = 60.0  # for an answer that is not read
REPEAT_S = 60.0  # the same line of the log once in so many seconds


def raise_file_limit() -> int:
    """Let this process have as many open files as it may; return how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        wanted = 65536 if hard == resource.RLIM_INFINITY else hard
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # a system that allows less than it says
            pass
    return min(MOST_CONNECTIONS, max(soft // 4, soft - RESERVE))


class Connections:
    """Those on which no request is being answered, the oldest first. A new one beyond `most` takes its place."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._idle: dict[Connection, None] = {}

    def protocol(self, *args: Any, **kwargs: Any) -> "Connection":
        """Return a new connection, as uvicorn asks for one."""
        return Connection(self, *args, **kwargs)

    def wait(self, one: "Connection") -> None:
        """`one` has nothing to be answered."""
        self._idle.pop(one, None)
        self._idle[one] = None

    def leave(self, one: "Connection") -> None:
        """`one` has, or is gone."""
        self._idle.pop(one, None)

    def make_room(self, one: "Connection") -> None:
        """Close the one that has said nothing for longest if there are too many; if all are at work, `one`."""
        if len(one.connections) > self.most:
            next((other for other in self._idle if other is not one), one).abort()


class Connection(H11Protocol):
    """uvicorn's, with times: a head must be whole within 10 s, an answer must be read on within 60 s."""

    def __init__(self, all_of_them: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = all_of_them
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    @property
    def answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def abort(self) -> None:
        """Close it now, whatever is still to be sent."""
        self._all.leave(self)
        self.connections.discard(self)
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._all.wait(self)
        self._expect_head()
        self._all.make_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        self._cancel("_head_timer", "_stall_timer")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.answering:
            self._all.leave(self)
            self._cancel("_head_timer")
        else:
            self._expect_head()

    def on_response_complete(self) -> None:
        self._all.wait(self)
        super().on_response_complete()
        if self.answering:  # it had sent the next one already
            self._all.leave(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self._stall_timer or self.loop.call_later(STALL_S, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel("_stall_timer")

    def _expect_head(self) -> None:
        if not self._head_timer:
            self._head_timer = self.loop.call_later(HEAD_S, self._end_unless_answering)

    def _end_unless_answering(self) -> None:
        self._head_timer = None
        if not self.answering:
            self.abort()

    def _cancel(self, *timers: str) -> None:
        for name in timers:
            if timer := getattr(self, name):
                timer.cancel()
                setattr(self, name, None)


class OnceAMinute(logging.Filter):
    """Lets the same message through once a minute: what strangers cause must not fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is to be written."""
        now, text = time.monotonic(), str(record.msg)[:200]
        if now - self._last.get(text, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._last) > 100:
            self._last.clear()
        self._last[text] = now
        return True


def quiet_logs() -> None:
    """Have what asyncio and uvicorn say of single connections written once a minute."""
    for name in ("asyncio", "uvicorn.error"):
        logging.getLogger(name).addFilter(OnceAMinute())
