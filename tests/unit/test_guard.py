"""The guard for asyncio: as the other one, it connects only where all addresses of a host are public."""

import asyncio
import socket

import httpcore2
import pytest

from easel.net.guard import AsyncGuardedBackend, Network


def rows(*addresses):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def connect(port, *addresses, **options):
    """Raises what the backend raises; otherwise the connection is closed again."""
    network = Network(resolve=lambda *_, **__: rows(*addresses), **options)

    async def go():
        stream = await AsyncGuardedBackend(network).connect_tcp("host", port)
        await stream.aclose()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [
        ("no", ()),
        ("loopback", ("127.0.0.1",)),
        ("private", ("8.8.8.8", "10.0.0.1")),
        ("link-local", ("169.254.169.254", "8.8.8.8")),
    ],
)
def test_a_host_with_any_address_that_is_not_public_is_refused(kind, addresses):
    with pytest.raises(httpcore2.ConnectError, match=f"host has (a )?{kind} address"):
        connect(443, *addresses)


def test_a_name_that_is_not_found_is_refused():
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(httpcore2.ConnectError, match="no address"):
        asyncio.run(AsyncGuardedBackend(Network(resolve=unknown)).connect_tcp("host", 443))


def test_each_address_is_tried_until_one_takes_the_connection():
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]
        connect(port, "127.0.0.1", "127.0.0.2", allow_loopback=True)
        listening.settimeout(5)
        listening.accept()[0].close()


def test_where_none_takes_it_the_last_error_is_raised():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpcore2.ConnectError):
            connect(unused.getsockname()[1], "127.0.0.1", "127.0.0.1", allow_loopback=True)
