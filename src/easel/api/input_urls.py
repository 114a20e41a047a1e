"""Addresses in a prediction's input: which a model may be given to open, before it is."""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

from easel.api.schemas import input_rules
from easel.api.validation import invalid, shorten
from easel.net.addresses import address_problem
from easel.net.urls import split_url

PRIVATE_NAMES = ("localhost", "local", "internal", "home.arpa", "lan", "intranet")


def check_uris(given: dict[str, Any], schema: dict[str, Any], is_own: Callable[[str], bool]) -> None:
    """Raise Problem (422) unless each value whose format is uri is a data: URL, the API's own file, or public https.

    A model of somebody else may open whatever it is given: a path of its server's disk, a neighbour in its network.
    """
    wrong = []
    for field, value in find_uris(input_rules(schema), given, "input"):
        if not value.startswith("data:") and not is_own(value) and (problem := uri_problem(value)):
            wrong.append(("format", field, problem))
    if wrong:
        raise invalid(wrong[:20])


def find_uris(rules: dict[str, Any], value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Yield each text that the schema calls a uri, with the name of its field."""
    if isinstance(value, str) and rules.get("format") == "uri":
        yield field, value
    for inner in (*rules.get("allOf", ()), *rules.get("anyOf", ()), *rules.get("oneOf", ())):
        yield from find_uris(inner, value, field)
    if isinstance(value, list):
        items = rules.get("items", {})
        for k, one in enumerate(value):
            part = items if isinstance(items, dict) else dict(enumerate(items)).get(k, {})
            yield from find_uris(part, one, f"{field}.{k}")
    if isinstance(value, dict):
        others = rules.get("additionalProperties")
        for name, one in value.items():
            part = rules.get("properties", {}).get(name, others)
            if isinstance(part, dict):
                yield from find_uris(part, one, f"{field}.{name}")


def uri_problem(text: str) -> str | None:
    """Return why a model must not be given this address to open, or None for https to a host that may be public."""
    parts = split_url(text)
    host = (parts.hostname or "").rstrip(".") if parts else ""
    if not parts or parts.scheme != "https" or not host or "\\" in text or any(one.isspace() for one in text):
        address = text.partition("?")[0]
        return f"must be an https:// address, a data: URL or a file that was uploaded here, not {shorten(address)}"
    if not host.isascii():
        return "must name its host in ASCII; names in other letters as xn--..."
    if kind := host_problem(host):
        return f"must be on a public host, and {host[:100]} is {kind}"
    return None


def host_problem(host: str) -> str | None:
    """Return why a host cannot be a public one, or None.

    Names are not looked up: who fetches checks what they lead to.
    """
    try:
        return address_problem(str(ipaddress.ip_address(host)))
    except ValueError:
        pass
    try:
        return address_problem(socket.inet_ntoa(socket.inet_aton(host)))  # decimal, octal, with fewer dots
    except OSError:
        pass
    if "." not in host or host.lower().endswith(tuple(f".{name}" for name in PRIVATE_NAMES)):
        return "a name of a private network"
    return None
