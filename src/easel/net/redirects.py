"""One GET request, and what follows when the server sends it on to another address.

Every address on the way must be https and public, and a credential goes no further than the scheme, host and port that
it was given for.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote

import httpcore2

from easel.errors import FetchError, InputError
from easel.net.guard import GuardedBackend, Network, system_tls
from easel.net.urls import (
    DEFAULT_PORTS,
    HOST,
    PATH_CHARACTERS,
    is_loopback_host,
    origin,
    quote_path,
    split_url,
)

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=~"  # RFC 3986: what else a URL consists of than letters, digits and "-._"
MAX_PLACE = 100  # characters of an address in an error
MAX_HOST = 253  # characters, as a name has at most (RFC 1035)


@dataclass(frozen=True)
class Credential:
    """The name of the input that takes a site's token, and the token, if the caller gave one. Raises InputError."""

    input: str
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token and not re.fullmatch(r"[\x21-\x7e]{1,1000}", self.token):
            raise InputError(f"{self.input} is not a token: one is at most 1000 printable ASCII characters, no spaces.")


@contextmanager
def final_answer(
    url: str, headers: Mapping[str, str], credential: Credential | None, network: Network, deadline: float
) -> Iterator[httpcore2.Response]:
    """Give the answer to a GET at the end of all redirects, its body unread.

    Raises FetchError for what must not be reached, TransferError for a connection that fails, and lets
    httpcore2.ProtocolError through. `deadline` is on the clock of `time.monotonic()`.
    """
    # Identity: what arrives is what is counted and hashed, and no small body unpacks to a large one.
    sent: dict[bytes | str, bytes | str] = {"User-Agent": "easel", "Accept": "*/*", "Accept-Encoding": "identity"}
    sent.update(headers)
    if credential and credential.token:
        sent["Authorization"] = f"Bearer {credential.token}"
    here = split_address(url)
    with httpcore2.ConnectionPool(
        ssl_context=network.tls or system_tls(),
        network_backend=GuardedBackend(network, deadline),
        max_keepalive_connections=0,
    ) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            target, host_header = check_url(here, network)
            with pool.stream("GET", target, headers={**sent, "Host": host_header}) as answer:
                location = next((value for name, value in answer.headers if name.lower() == b"location"), None)
                if answer.status not in REDIRECTS or location is None:
                    yield answer
                    return
            following = split_address(quote(location, safe=URL_CHARACTERS), here)
            if origin(following) != origin(here):
                sent.pop("Authorization", None)
            here = following
    raise FetchError(f"{here.hostname} sends from one address to the next more than {MAX_REDIRECTS} times.")


def split_address(text: str, base: SplitResult | None = None) -> SplitResult:
    """Return the parts of a URL that a site gave, relative to `base` if given. Raises FetchError if it is none."""
    url = split_url(text, base)
    if url is None:
        raise FetchError("The site names an address that is not a URL.")
    return url


def check_url(url: SplitResult, network: Network) -> tuple[httpcore2.URL, str]:
    """Return an httpcore URL and its Host header.

    Raises FetchError unless it is https, or http to loopback if allowed.
    """
    host = url.hostname or ""
    place = f"{url.scheme}://{host}"[:MAX_PLACE]
    if url.scheme != "https" and not (url.scheme == "http" and network.allow_loopback and is_loopback_host(host)):
        raise FetchError(f"{place} is not encrypted, and files are fetched over https:// only.")
    if not re.fullmatch(HOST, host) or len(host) > MAX_HOST or "@" in url.netloc:
        raise FetchError(f"{place} is not a host in ASCII without a user name.")
    port = url.port or DEFAULT_PORTS[url.scheme]
    name = f"[{host}]" if ":" in host else host
    path = quote_path(url.path or "/")
    query = "?" + quote(url.query, safe=f"{PATH_CHARACTERS}?") if url.query else ""
    target = httpcore2.URL(scheme=url.scheme, host=host, port=port, target=path + query)
    return target, name if port == DEFAULT_PORTS[url.scheme] else f"{name}:{port}"
