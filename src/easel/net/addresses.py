"""Which IP addresses are public: everything that a request must not reach through this machine is not."""

import ipaddress

# What Python's ipaddress (3.11 to 3.13) takes for public, and is not.
NOT_PUBLIC = (
    ("100.64.0.0/10", "shared (CGNAT)"),
    ("192.0.0.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("168.63.129.16/32", "internal"),  # Azure's host, seen from each of its machines
    ("2002::/16", "6to4"),  # These two carry an IPv4 address to reach, and are out of use (RFC 7526, RFC 8190).
    ("2001::/23", "reserved"),
    ("3fff::/20", "reserved"),
)
NAT64 = "64:ff9b::/96"  # RFC 6052: the last 32 bits are the IPv4 address that is reached


def address_problem(text: str, allow_loopback: bool = False) -> str | None:
    """Return why an address must not be connected to ("private", "loopback", ...), or None for a public one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unreadable"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:  # loopback too, as Python 3.13 has it
        return address_problem(str(address.ipv4_mapped))
    if address.is_loopback:
        return None if allow_loopback else "loopback"
    if isinstance(address, ipaddress.IPv6Address):
        if address in ipaddress.ip_network(NAT64):
            return address_problem(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address.scope_id is not None:
            return "link-local"
    for block, kind in NOT_PUBLIC:
        if address in ipaddress.ip_network(block):
            return kind
    for kind in ("unspecified", "link_local", "multicast", "reserved", "private"):
        if getattr(address, f"is_{kind}"):
            return kind.replace("_", "-")
    # IPv6: RFC 4291, all that is public today is in 2000::/3.
    is_public = address.version == 4 or address in ipaddress.ip_network("2000::/3")
    return None if address.is_global and is_public else "special"
