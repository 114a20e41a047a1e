"""Connections to public addresses only, whose every wait is short enough for a cancel to strike soon.

The check sits where the connection is made. A name is resolved once, all its addresses are checked, and one of exactly
these is connected to: no second look-up could answer otherwise, and it does not matter how a URL spells its host. TLS
still verifies the name. There is no proxy, because it would resolve names itself.
"""

import asyncio
import functools
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpcore2

from easel.errors import FetchError, UnreachableError
from easel.net.addresses import address_problem
from easel.net.resolver import start_resolver

SLICE_S = 0.2  # A cancel is an exception that Python raises between bytecodes, so no call may block for longer.


@dataclass(frozen=True)
class Network:
    """How far and for how long a fetch may reach. Times in seconds.

    `allow_loopback` also permits this machine, and http:// to it. `tls` None: the system's certificate authorities.
    """

    allow_loopback: bool = False
    connect_s: float = 10.0
    stall_s: float = 30.0  # without a byte
    total_s: float = 600.0  # of a fetch with all its attempts
    least_rate: float = 50_000.0  # bytes a second of waiting for them: 600 s then bring 30 MB
    rate_s: float = 30.0  # of waiting, over which that rate is measured
    retries: int = 3
    backoff_s: float = 0.5  # before the first further attempt, doubled before each one after it
    max_backoff_s: float = 30.0  # however long a server asks to wait
    resolve: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo
    tls: ssl.SSLContext | None = None
    clock: Callable[[], float] = time.monotonic


class TransferError(Exception):
    """This attempt failed in a way that another one may not. Its text continues "<host> ..."."""


@functools.cache  # reading all authorities takes longer than many a fetch
def system_tls() -> ssl.SSLContext:
    # Elsewhere httpcore2's asks the system right after wrapping, too early for a handshake in slices.
    return httpcore2.default_ssl_context() if sys.platform == "linux" else ssl.create_default_context()


def resolve_host(host: str, port: int, network: Network, until: float) -> list[tuple[Any, ...]]:
    """Return the (family, type, protocol, name, address) rows of a host. Raises FetchError unless all are public."""
    look_up = functools.partial(network.resolve, host, port, type=socket.SOCK_STREAM)
    rows: list[tuple[Any, ...]] | Exception
    try:
        rows = start_resolver().wait(look_up, until, SLICE_S, network.clock)
    except TimeoutError:
        raise TransferError("was not found in time: the name look-up does not answer") from None
    if isinstance(rows, socket.gaierror) and rows.errno == socket.EAI_AGAIN:
        raise TransferError("was not found: the name look-up fails at the moment")
    if isinstance(rows, Exception) or rows_problem(rows, network):
        # One sentence for both: which names and addresses there are behind this machine is nobody's business.
        # A name that is not found may be a machine without a network. In words it is the same as a private address.
        raise (UnreachableError if isinstance(rows, socket.gaierror) else FetchError)(
            f"There is no public host {host!r}, and files are fetched from public addresses only. Check the address "
            "for typing errors."
        )
    return rows


def rows_problem(rows: Sequence[tuple[Any, ...]], network: Network) -> str | None:
    """Return why a host must not be connected to, or None if it has addresses and all of them are public."""
    kinds = [kind for row in rows if (kind := address_problem(row[4][0], network.allow_loopback))]
    return f"has a {kinds[0]} address" if kinds else None if rows else "has no address"


def wait_ready(sock: socket.socket, event: int, until: float, problem: str, clock: Callable[[], float]) -> None:
    poll = select.poll()  # unlike select(), also for file numbers from 1024 on
    poll.register(sock, event)
    while not poll.poll(1000 * max(0.0, min(SLICE_S, until - clock()))):
        if clock() > until:
            raise TransferError(problem)


class SlicedStream(httpcore2.NetworkStream):
    """A connected, non-blocking socket. `deadline` ends every transfer on it, however alive (`network.clock()`)."""

    def __init__(self, sock: socket.socket, network: Network, deadline: float) -> None:
        self._sock = sock
        self._network = network
        self._deadline = deadline
        self._answering = False  # Until the first byte a server may think; `stall_s` limits that.
        self._waited = 0.0
        self._arrived = 0

    def _repeat(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        clock = self._network.clock
        until = min(clock() + self._network.stall_s, self._deadline)
        problem = f"sent nothing for {self._network.stall_s:g} s"
        while clock() <= self._deadline:
            try:
                return operation(*arguments)
            except (ssl.SSLWantReadError, BlockingIOError) as error:
                writing = isinstance(error, BlockingIOError) and operation == self._sock.send
                wait_ready(self._sock, select.POLLOUT if writing else select.POLLIN, until, problem, clock)
            except ssl.SSLWantWriteError:
                wait_ready(self._sock, select.POLLOUT, until, problem, clock)
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                raise TransferError(f"broke the connection off ({error.strerror or type(error).__name__})") from None
        raise TransferError(problem)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        began = self._network.clock()
        data: bytes = self._repeat(self._sock.recv, max_bytes)
        if self._answering:
            self._waited += self._network.clock() - began
        self._answering = True
        self._arrived += len(data)
        self._check_rate()
        return data

    def _check_rate(self) -> None:
        """Only time spent waiting counts: a slow disk here is not the server's fault."""
        if self._waited < self._network.rate_s:
            return
        if self._arrived < self._network.least_rate * self._waited:
            raise TransferError(f"sends less than {self._network.least_rate / 1000:g} kB a second")
        self._waited, self._arrived = 0.0, 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        while view:
            view = view[self._repeat(self._sock.send, view) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "SlicedStream":
        try:
            self._sock = ssl_context.wrap_socket(
                self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._repeat(self._sock.do_handshake)
        except BaseException as error:
            self.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise FetchError(
                    f"The certificate of {server_hostname} is not valid ({error.verify_message})."
                ) from None
            raise
        return self

    def close(self) -> None:
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        return None


class GuardedBackend(httpcore2.NetworkBackend):
    def __init__(self, network: Network, deadline: float) -> None:
        self._network = network
        self._deadline = deadline

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> SlicedStream:
        clock = self._network.clock
        until = min(clock() + self._network.connect_s, self._deadline)
        rows = resolve_host(host, port, self._network, until)
        for k, (family, kind, protocol, _name, address) in enumerate(rows):
            # An even share of what is left: a host with IPv6 must not cost all of it where IPv6 leads nowhere.
            share = (until - clock()) / (len(rows) - k)
            try:
                sock = connect(family, kind, protocol, address, clock() + share, clock)
            except TransferError:
                if k == len(rows) - 1:
                    raise
            else:
                return SlicedStream(sock, self._network, self._deadline)
        raise AssertionError("resolve_host gives at least one row")


class AsyncGuardedBackend(httpcore2.AsyncNetworkBackend):
    """The same for asyncio, where no wait needs slices. Raises httpcore2.ConnectError for hosts that are not public."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._inner = httpcore2.AnyIOBackend()
        self._look_ups = ThreadPoolExecutor(8, "easel-look-up")  # of its own: one that hangs holds up nothing else

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._network.connect_s
        look_up = functools.partial(self._network.resolve, host, port, type=socket.SOCK_STREAM)
        try:
            rows = await loop.run_in_executor(self._look_ups, look_up)
        except (OSError, UnicodeError):
            rows = []
        if problem := rows_problem(rows, self._network):
            raise httpcore2.ConnectError(f"{host} {problem}")
        for k, row in enumerate(rows):
            share = (until - loop.time()) / (len(rows) - k)
            try:
                return await self._inner.connect_tcp(row[4][0], port, max(0.1, share))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if k == len(rows) - 1:
                    raise
        raise AssertionError("a public host has at least one row")


def connect(
    family: int, kind: int, protocol: int, address: tuple[Any, ...], until: float, clock: Callable[[], float]
) -> socket.socket:
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError:
        raise TransferError("takes no connection (this machine lacks its kind of address)") from None
    try:
        sock.setblocking(False)
        try:
            sock.connect(address)
        except BlockingIOError:
            wait_ready(sock, select.POLLOUT, until, "takes no connection in time", clock)
            failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, "refused") from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        sock.close()
        raise TransferError("takes no connection") from None
    except BaseException:
        sock.close()
        raise
    return sock
