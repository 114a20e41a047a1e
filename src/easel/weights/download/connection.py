"""One connection to wherever a weights file is, used for one range after another.

It is the standard library's http.client because that reads straight into a buffer of ours: 2.1 GB from nginx on
loopback into nowhere took 1.2 s, and with httpx, which hands out pieces of at most 64 KiB, 2.2 s.

The guard of `net/guard.py` is not needed here: these addresses come from a lock file that is part of this repository or
of its user's. So a proxy of the environment is honoured.
"""

import base64
import functools
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from easel.errors import FetchError
from easel.net.guard import Network
from easel.net.redirects import MAX_REDIRECTS, REDIRECTS, URL_CHARACTERS, check_url, split_address
from easel.net.urls import is_loopback_host, origin
from easel.weights.download.threads import ThreadGroup

MAX_REST = 65536  # bytes; opening another connection costs about as much as reading them


@dataclass(frozen=True)
class Address:
    """Where a file can be had just now. The URL may be signed, and the headers may hold a token: nothing shows them."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Limits:
    """How patient a download is. Times in seconds."""

    connect_s: float = 10.0
    stall_s: float = 30.0  # without a byte
    retries: int = 6  # of one connection in a row, without a byte in between
    backoff_s: float = 0.5  # before the first of them, doubled before each one after it
    max_wait_s: float = 60.0  # however long a server asks to wait
    renewals: int = 2  # of an address that is refused, without a byte in between
    # A killed process fetches at most this again for each connection, and each request costs a round trip.
    chunk_bytes: int = 8 * 2**20


class TransientError(Exception):
    """It failed in a way that another attempt may not. Its text continues "<host> ...". `wait_s`: what the server asks
    for; `for_all`: of every connection.
    """

    def __init__(self, problem: str, wait_s: float | None = None, for_all: bool = False) -> None:
        super().__init__(problem)
        self.wait_s = wait_s
        self.for_all = for_all


class Connection:
    """Use it in one thread. Errors of the network become a TransientError, or a FetchError if they will not pass."""

    def __init__(self, threads: ThreadGroup, limits: Limits) -> None:
        self._threads = threads
        self._limits = limits
        self._http: http.client.HTTPConnection | None = None
        self._origin: tuple[str, str | None, int | None] | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._twin: socket.socket | None = None

    def get(self, address: Address, headers: Mapping[str, str]) -> tuple[http.client.HTTPResponse, Address]:
        """The answer at the end of all redirects, its body unread, and the address that gave it."""
        here = split_address(address.url)
        own = dict(address.headers)
        for _ in range(MAX_REDIRECTS + 1):
            self._threads.wait_while_paused()
            # Identity: the digest is of the file, not of what a server packed it into.
            sent = {"User-Agent": "easel", "Accept": "*/*", "Accept-Encoding": "identity", **own, **headers}
            answer = self._ask(here, sent)
            location = answer.getheader("Location")
            if answer.status not in REDIRECTS or location is None:
                return answer, Address(here.geturl(), own)
            following = split_address(quote(location, safe=URL_CHARACTERS), here)
            self.read_rest(answer)
            if origin(following) != origin(here):
                own = {name: value for name, value in own.items() if name.lower() != "authorization"}
            here = following
        raise FetchError(f"{here.hostname} sends from one address to the next more than {MAX_REDIRECTS} times.")

    def _ask(self, url: SplitResult, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        target, _ = check_url(url, Network(allow_loopback=True))
        kept = self._http is not None and self._origin == origin(url)
        if not kept:
            self.close()
            self._http, self._origin = self._open(url), origin(url)
        try:
            return self._send(target.target.decode("ascii"), headers)
        except TransientError:
            self.close()
            if not kept or self._threads.stopping:
                raise
        # The server may have closed a connection that was kept: that is no failure.
        self._http, self._origin = self._open(url), origin(url)
        return self._send(target.target.decode("ascii"), headers)

    def _send(self, target: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        with self._network_errors("gives no proper answer"):
            connection = self._http
            assert connection
            connection.request("GET", target, headers=dict(headers))
            self._answer = connection.getresponse()
        return self._answer

    def read(self, answer: http.client.HTTPResponse, view: memoryview) -> int:
        """Fill `view` as far as the answer's body goes; the number of bytes."""
        with self._network_errors("breaks off in the middle"):
            count = answer.readinto(view)
            if not count:
                self._threads.check()  # What is shut down on purpose looks like an end.
            return count

    def read_rest(self, answer: http.client.HTTPResponse) -> int:
        """Make the connection ready for the next request, if what is left to read is short; its bytes."""
        with self._network_errors("breaks off in the middle"):
            count = len(answer.read(MAX_REST))
        if count == MAX_REST or answer.will_close:
            self.close()
        return count

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        if self._answer is not None:  # It reset_failures the socket open where the server is to close it.
            self._answer.close()
        self._release_socket()
        self._http = self._origin = self._answer = None

    def _release_socket(self) -> None:
        if self._twin is not None:
            self._threads.release_socket(self._twin)
        self._twin = None

    def _network_errors(self, problem: str) -> "NetworkErrors":
        return NetworkErrors(self._threads, self._limits, problem)

    def _open(self, url: SplitResult) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        host, port = url.hostname or "", url.port
        timeout = self._limits.stall_s
        if url.scheme == "http":
            made = http.client.HTTPConnection(host, port or 80, timeout=timeout)
        else:
            proxy = proxy_for(host)
            if proxy is None:
                made = http.client.HTTPSConnection(host, port or 443, timeout=timeout, context=tls_context())
            else:
                made = http.client.HTTPSConnection(
                    proxy.hostname or "", proxy.port or 80, timeout=timeout, context=tls_context()
                )
                made.set_tunnel(host, port or 443, headers=proxy_headers(proxy))
        # The one way in to the socket before TLS starts on it.
        made.__dict__["_create_connection"] = self._connect
        return made

    def _connect(self, address: tuple[str, int], timeout: float, source: None = None) -> socket.socket:
        self._release_socket()  # of a connection that the server closed, as it said that it would
        error: OSError | None = None
        for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            self._threads.check()
            sock = socket.socket(family, kind, protocol)
            self._twin = self._threads.register_socket(sock)
            try:
                sock.settimeout(self._limits.connect_s)
                sock.connect(place)
                sock.settimeout(timeout)
                return sock
            except OSError as one:
                error = one
                sock.close()
                self._release_socket()
        if isinstance(error, TimeoutError):
            raise TransientError("takes no connection in time")
        raise error or OSError("no address")


class NetworkErrors:
    """Turns what the network raises inside into a TransientError, a FetchError, or Stopped when all is to end."""

    def __init__(self, threads: ThreadGroup, limits: Limits, problem: str) -> None:
        self._threads = threads
        self._limits = limits
        self._problem = problem

    def __enter__(self) -> None:
        self._threads.check()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | http.client.HTTPException | ValueError):
            self._threads.check()  # What is shut down on purpose fails as well.
            raise self._of(error) from None

    def _of(self, error: Exception) -> Exception:
        match error:
            case ssl.SSLCertVerificationError():
                return FetchError(f"The host's certificate is not valid ({error.verify_message}).")
            case socket.gaierror() if error.errno == socket.EAI_NONAME:
                return FetchError("There is no such host: check the address for typing errors.")
            case socket.gaierror():
                return TransientError("was not found: the name look-up fails at the moment")
            case TimeoutError():
                return TransientError(f"sends nothing for {self._limits.stall_s:g} s")
            case ConnectionRefusedError():
                return TransientError("takes no connection")
            case _:  # The text of an HTTPException can quote a header.
                return TransientError(self._problem)


@functools.cache  # reading all authorities takes longer than many a fetch
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def proxy_for(host: str) -> SplitResult | None:
    """The proxy that the environment names for https to this host."""
    text = getproxies().get("https")
    if not text or proxy_bypass(host) or is_loopback_host(host):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise FetchError(f"https_proxy names a proxy of the kind {proxy.scheme}://, and only http:// ones are used.")
    return proxy


def proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(login.encode()).decode("ascii")}
