"""URLs: split, compared, and as errors and logs may show them. Nothing here asks the network."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

HOST = r"[A-Za-z0-9._:-]+"  # a name in ASCII or an address, without brackets and zone
MAX_SHOWN = 200  # characters
PATH_CHARACTERS = "/%:@!$&'()*+,;=~"  # RFC 3986: what a path may hold besides letters, digits and "-._"
DEFAULT_PORTS = {"https": 443, "http": 80}
LOGIN = r"(https?://)[^\s/?#'\"]*@"  # hf://name@revision is none
HUB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
HUB_REVISION = r"refs/(?:pr|convert)/[^/]+|[^/]+"


def split_url(text: str, base: SplitResult | None = None) -> SplitResult | None:
    """Return the parts of a URL, relative to `base` if that is given, or None if its host or port cannot be read."""
    try:
        url = urlsplit(urljoin(base.geturl(), text) if base else text)
        _ = url.hostname, url.port  # read on access, and raise ValueError
        return url
    except ValueError:
        return None


def quote_path(path: str) -> str:
    """Return a URL's path with every character escaped that may not stand there; escapes stay as they are."""
    return quote(path, safe=PATH_CHARACTERS)


def origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    """Return (scheme, host, port): what two URLs must share for a credential of the one to go to the other."""
    return url.scheme, url.hostname, url.port or DEFAULT_PORTS.get(url.scheme)


def is_loopback_host(host: str | None) -> bool:
    """Return whether a URL's host is this machine by its very text; other spellings of 127.0.0.1 are not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine by its very text."""
    parts = split_url(url)
    return parts is not None and is_loopback_host(parts.hostname)


class HubUrl(NamedTuple):
    """`hf://owner/name[@revision][/filename]`: `revision` and `filename` are None where they are not given."""

    repo_id: str
    revision: str | None
    filename: str | None


def parse_hub_url(text: str) -> HubUrl | None:
    """Return the parts of an hf:// URL, or None for another text. Revision and filename are the caller's to check."""
    found = re.fullmatch(rf"hf://({HUB_NAME}/{HUB_NAME})(?:@({HUB_REVISION}))?/?(.*)", text, re.IGNORECASE)
    return HubUrl(found[1], found[2], found[3] or None) if found else None


def shown_url(url: str) -> str:
    """Return the URL without user name, query and fragment, which may be secrets; cut off when it is long."""
    plain = re.split(r"[?#]", re.sub(LOGIN, r"\1", url), maxsplit=1)[0]
    return plain if len(plain) <= MAX_SHOWN else f"{plain[:MAX_SHOWN]}..."


def shown_error(error: Exception) -> str:
    """Return what an error of an HTTP library says, or its name, without the query of any URL that it quotes."""
    text = re.sub(LOGIN, r"\1", str(error))
    return re.sub(r"[?#][^\s'\"<>()]+", "", text) or type(error).__name__
