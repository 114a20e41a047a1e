"""A guarded fetch: public addresses only, looked up once."""

import socket
import threading

import pytest

from easel.net import guard as network_module
from easel.net.addresses import address_problem
from easel.net.guard import TransferError
from tests.support.fault_server import Answer
from tests.unit.fetch.common import BODY, changed, resolver

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("8.8.8.8", None),
        ("172.15.0.1", None),
        ("172.32.0.1", None),
        ("2606:4700:4700::1111", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),  # an IPv6-only network reaches IPv4 so
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "private"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "shared (CGNAT)"),
        ("100.100.100.200", "shared (CGNAT)"),
        ("168.63.129.16", "internal"),
        ("192.0.0.192", "reserved"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "reserved"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fec0::1", "reserved"),
        ("ff02::1", "multicast"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("64:ff9b:1::808:808", "special"),
        ("2002:7f00:1::", "6to4"),
        ("2002:a00:1::1", "6to4"),
        ("2001:0:a00:1::", "reserved"),
        ("2001:db8::1", "private"),
        ("3fff::1", "reserved"),
        ("100::1", "private"),
        ("5f00::1", "special"),
        ("localhost", "unreadable"),
    ],
)
def test_only_public_addresses_are_reached(address, problem):
    if problem in ("special", "reserved", "private"):  # which of these words matters less than that it is refused
        assert address_problem(address)
    else:
        assert address_problem(address) == problem


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_reached_where_it_is_allowed(address):
    assert address_problem(address, allow_loopback=True) is None


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1", "0.0.0.0", "169.254.169.254"])
def test_allowing_loopback_allows_nothing_else(address):
    assert address_problem(address, allow_loopback=True)


@pytest.mark.parametrize("addresses", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["2606:4700::1", "fd00::1"]])
def test_one_private_address_of_many_is_enough_to_refuse_a_host(refusal, addresses):
    network = changed(resolve=resolver(mixed=addresses), allow_loopback=False)
    assert "There is no public host 'mixed'" in refusal("https://mixed/a", network=network)


def test_loopback_is_refused_where_it_is_not_allowed(server, refusal):
    network = changed(allow_loopback=False)
    assert "is not encrypted" in refusal("/a", network=network)
    assert "There is no public host" in refusal(f"https://127.0.0.1:{server.port}/a", network=network)
    assert server.seen == []


def test_http_reaches_loopback_only(refusal):
    network = changed(resolve=resolver(public=["8.8.8.8"], localhost=["8.8.8.8"]))
    assert "is not encrypted" in refusal("http://public/a", network=network)


def test_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to(refusal, monkeypatch):
    answers, connected = [["8.8.8.8"], ["10.0.0.1"]], []

    def rebinding(host, port, type=0):
        return resolver(rebind=answers.pop(0))(host, port, type)

    def connect(family, kind, protocol, address, until, clock):
        connected.append(address)
        raise TransferError("takes no connection")

    monkeypatch.setattr(network_module, "connect", connect)
    message = refusal("https://rebind/a", network=changed(resolve=rebinding))
    assert connected == [("8.8.8.8", 443)]
    assert answers == []  # the second answer was asked for by the second attempt only, and refused
    assert message.startswith(
        "the file: There is no public host 'rebind', and files are fetched from public addresses only."
    )


def test_next_address_is_tried_when_one_does_not_answer(server, get):
    server.routes["/a"] = Answer(body=BODY)
    resolve = resolver(localhost=["127.77.77.77", "127.0.0.1"])
    assert get(f"http://localhost:{server.port}/a", network=changed(resolve=resolve)).size == len(BODY)


def test_unknown_host_is_final_and_a_failing_look_up_is_not(refusal, logs):
    assert "There is no public host 'nowhere'" in refusal("https://nowhere/a", network=changed(resolve=resolver()))
    assert logs == []

    def failing(host, port, type=0):
        raise socket.gaierror(socket.EAI_AGAIN, "busy")

    assert "was not found: the name look-up fails at the moment, 4 times" in refusal(
        "https://nowhere/a", network=changed(resolve=failing)
    )


def test_host_that_no_look_up_accepts_is_refused(refusal):
    assert "There is no public host" in refusal("https://" + "a" * 70 + ".example/a")


def test_slow_look_up_is_bounded(refusal):
    release = threading.Event()
    network = changed(connect_s=0.1, retries=0, resolve=lambda *_, **__: release.wait(60))
    try:
        assert "does not answer" in refusal("https://slow/a", network=network)
    finally:
        release.set()
