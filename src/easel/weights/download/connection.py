"""One connection to the host of a weights file, by urllib3: redirects, proxies, TLS, errors and retries.

The guard of `net/guard.py` is not needed here: these URLs come from a lock file that is part of this repository or of
its user's. So a proxy of the environment is honoured.
"""

import functools
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError

from easel.errors import FetchError
from easel.net.guard import Network
from easel.net.redirects import MAX_REDIRECTS, REDIRECTS, URL_CHARACTERS, check_url, split_address
from easel.net.urls import is_loopback_host, origin
from easel.weights.download.responses import Refused, TransientError, check_response
from easel.weights.download.threads import Address, Download, Limits, ThreadGroup

MAX_REST = 65536  # bytes; opening another connection costs about as much as reading them


class RetryingConnection:
    """A connection for one thread, used in `with`. It counts how often in a row it has failed."""

    def __init__(self, download: Download, group: ThreadGroup) -> None:
        self._download = download
        self._limits = download.limits
        self._group = group
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._origin: tuple[str, str | None, int | None] | None = None
        self._response: urllib3.BaseHTTPResponse | None = None
        self.failures = 0  # without a byte in between

    def __enter__(self) -> "RetryingConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave a response unread; the next request opens another connection."""
        if self._response is not None:
            self._response.close()
        if self._pool is not None:
            self._pool.close()
        self._pool = self._origin = self._response = None

    def get(self, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Return a response with status 200, 206 or 416, its body unread. Raises TransientError and FetchError."""
        url = self._download.url
        while True:
            renewal, address = url.current
            try:
                response, resolved = self._follow(address, headers)
                check_response(response)
            except Refused as refusal:
                self.close()
                url.wait_for_refresh(renewal, refusal, self._group)
            except FetchError as error:
                raise self._download.error(error) from None
            else:
                url.set_resolved(renewal, resolved)
                return response

    def _follow(self, address: Address, headers: Mapping[str, str]) -> tuple[urllib3.BaseHTTPResponse, Address]:
        """Return the response at the end of all redirects, and the address that gave it."""
        here, own = split_address(address.url), dict(address.headers)
        for _ in range(MAX_REDIRECTS + 1):
            self._group.wait_while_paused()
            # Identity: the digest is of the file, not of what a server packed it into.
            sent = {"User-Agent": "easel", "Accept": "*/*", "Accept-Encoding": "identity", **own, **headers}
            response = self._send(here, sent)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None:
                return response, Address(here.geturl(), own)
            following = split_address(quote(location, safe=URL_CHARACTERS), here)
            self.finish(response)
            if origin(following) != origin(here):
                own = {name: value for name, value in own.items() if name.lower() != "authorization"}
            here = following
        raise FetchError(f"{here.hostname} sends from one address to the next more than {MAX_REDIRECTS} times.")

    def _send(self, url: SplitResult, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        target = check_url(url, Network(allow_loopback=True))[0].target.decode("ascii")
        with self._network_errors("gives no proper answer"):
            if self._pool is None or self._origin != origin(url):
                self.close()
                self._pool, self._origin = make_pool(url, self._limits), origin(url)
            is_kept = self._pool.num_requests > 0
            request = functools.partial(
                self._pool.urlopen, "GET", target, headers=headers, redirect=False, preload_content=False
            )
            try:
                self._response = request()
            except ProtocolError:
                if not is_kept:
                    raise
                self._group.check()
                self._response = request()  # The server may have closed a kept connection: that is no failure.
        return self._response

    def read(self, response: urllib3.BaseHTTPResponse, size: int) -> bytes:
        """Return up to `size` bytes of the body, none at its end."""
        with self._network_errors("breaks off in the middle"):
            data = response.read(size, decode_content=False)
        if data:
            self.failures = 0
            self._download.url.reset_failures()
        return data

    def finish(self, response: urllib3.BaseHTTPResponse) -> int:
        """Return how many bytes are left of a body, at most 65,536, and make the connection ready for the next."""
        with self._network_errors("breaks off in the middle"):
            count = len(response.read(MAX_REST, decode_content=False))
        if count == MAX_REST:
            self.close()
        return count

    @property
    def has_failed_enough(self) -> bool:
        """Return whether `wait` would raise."""
        return self.failures >= self._limits.retries

    def wait(self, error: TransientError) -> None:
        """Wait before the next attempt. Raises FetchError when there were enough of them."""
        self.close()
        problem = f"{self._download.url.host} {error}"
        if self.has_failed_enough:
            raise self._download.error(f"{problem}, {self.failures + 1} times. Try again later.")
        wait_s = self._limits.backoff_s * 2**self.failures if error.wait_s is None else error.wait_s
        wait_s = min(wait_s, self._limits.max_wait_s)
        self.failures += 1
        if error.for_all:
            self._group.pause(wait_s)
        self._download.log(f"{problem}; the next attempt follows in {wait_s:g} s")
        self._group.sleep(wait_s)

    @contextmanager
    def _network_errors(self, problem: str) -> Iterator[None]:
        self._group.check()
        try:
            yield
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            self._group.check()
            raise convert_network_error(error, problem, self._limits) from None


def convert_network_error(error: BaseException | None, problem: str, limits: Limits) -> Exception:
    """Return the FetchError or TransientError for what urllib3 raised; `problem` is said of what is not known here."""
    while error is not None:  # What happened is a cause of what urllib3 makes of it.
        match error:
            case ssl.SSLCertVerificationError():
                return FetchError(f"The certificate of the host is not valid ({error.verify_message}).")
            case socket.gaierror() if error.errno == socket.EAI_NONAME:
                return FetchError("There is no such host: check the address for typing errors.")
            case socket.gaierror():
                return TransientError("was not found: the name look-up fails at the moment")
            case ConnectTimeoutError() if not isinstance(error, NewConnectionError):
                return TransientError("takes no connection in time")
            case TimeoutError():
                return TransientError(f"sends nothing for {limits.stall_s:g} s")
            case ConnectionRefusedError():
                return TransientError("takes no connection")
        error = error.__cause__ or error.__context__
    return TransientError(problem)  # not its own text, which can quote a header


def make_pool(url: SplitResult, limits: Limits) -> urllib3.HTTPConnectionPool:
    """Return a pool for the origin of a URL, through the proxy that the environment names. Raises FetchError."""
    host = url.hostname or ""
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=limits.connect_s, read=limits.stall_s),
        "retries": False,
    }
    if url.scheme == "https":
        options["ssl_context"] = load_authorities()
    proxy = find_proxy(host) if url.scheme == "https" else None
    if proxy is None:
        return urllib3.PoolManager(**options).connection_from_host(host, url.port, url.scheme)
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}" if proxy.username is not None else None
    # urllib3 takes Latin-1, and a login is sent in UTF-8 (RFC 7617).
    headers = urllib3.make_headers(proxy_basic_auth=login and login.encode().decode("latin-1"))
    manager = urllib3.ProxyManager(f"http://{proxy.netloc.rpartition('@')[2]}", proxy_headers=headers, **options)
    return manager.connection_from_host(host, url.port, url.scheme)


@functools.cache  # reading all authorities takes longer than many a fetch
def load_authorities() -> ssl.SSLContext:
    """Return a TLS context with the authorities of the system, or of SSL_CERT_FILE."""
    return ssl.create_default_context()


def find_proxy(host: str) -> SplitResult | None:
    """Return the proxy that the environment names for https to this host."""
    text = getproxies().get("https")
    if not text or proxy_bypass(host) or is_loopback_host(host):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise FetchError(f"https_proxy names a proxy of the kind {proxy.scheme}://, and only http:// ones are used.")
    return proxy
