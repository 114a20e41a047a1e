"""How a ranged download gets to a file: redirects, tokens, TLS, proxies, and nobody there."""

import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from easel.weights.download import connection as range_connection
from easel.weights.download.fetch import Address
from tests.support.fault_server import Answer, FaultServer, redirect
from tests.support.range_download import BODY, CHUNK, SIZE, end_by_interrupt, ranged

pytestmark = pytest.mark.slow
PART = {"Content-Range": f"bytes 0-{CHUNK - 1}/{SIZE}"}


@pytest.fixture
def other():
    with FaultServer() as server:
        yield server


def test_redirect_is_followed_once_and_its_end_asked_directly(server, other, download):
    server.routes["/a"] = redirect("/b")
    server.routes["/b"] = redirect(other.url + "/c", 307)
    other.routes["/c"] = ranged()
    download.gives_the_file()
    assert [seen.path for seen in server.seen] == ["/a", "/b"]


def test_token_stays_with_its_origin(server, other, download):
    server.routes["/a"] = redirect("/b")
    server.routes["/b"] = redirect(other.url + "/c")
    other.routes["/c"] = ranged()
    headers = {"authorization": "Bearer hunter2", "X-Own": "1"}
    download.gives_the_file(resolve=lambda: Address(server.url + "/a", headers))
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer hunter2"] * 2
    assert not any("authorization" in seen.headers for seen in other.seen)


def test_redirect_without_end_is_refused(server, download):
    server.routes["/a"] = redirect("/a")
    download.fails("more than 5 times")


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("http://example.org/a", "is not encrypted"),
        ("ftp://127.0.0.1/a", "is not encrypted"),
        ("file:///etc/passwd", "is not encrypted"),
    ],
)
def test_redirect_to_what_is_not_https_is_refused(server, download, location, sentence):
    server.routes["/a"] = redirect(location)
    download.fails(sentence)


def test_nobody_listening_is_said_after_all_attempts(server, download):
    with FaultServer() as gone:
        url = gone.url
    download.fails("takes no connection, 7 times", resolve=lambda: Address(url + "/a"))


def test_address_shows_neither_token_nor_signature():
    assert "hunter2" not in repr(Address("https://example.org/?signature=hunter2", {"Authorization": "hunter2"}))


def test_interrupt_while_nobody_takes_the_connection_ends_the_process(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # the queue of the listener is then full, and the next one hangs
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.05)
        port = full.getsockname()[1]
        end_by_interrupt(f"http://127.0.0.1:{port}/a", tmp_path / "file", lambda pid: is_connecting(pid, port))
        for one in waiting:
            one.close()


def is_connecting(pid, port):
    """Whether a socket of this process waits for that port to take its connection."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed in the meantime
            own.add(str(link.readlink()))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(f"socket:[{row[9]}]" in own and row[3] == "02" and row[2].endswith(f":{port:04X}") for row in rows)


def test_interrupt_of_a_stall_ends_the_process(server, tmp_path):
    server.routes["/a"] = ranged(before=[Answer(206, BODY[:CHUNK], PART, stall=3000)] * 100)
    end_by_interrupt(server.url + "/a", tmp_path / "file", lambda pid: server.stalled.is_set())
    assert not (tmp_path / "file").exists()


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "weights.test").configure_cert(context)
    with FaultServer(context) as server:
        server.routes["/a"] = ranged(before=[Answer(206, BODY[:CHUNK], cut=9)])
        yield server


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """The authority is one of the system's."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    range_connection.load_authorities.cache_clear()
    yield
    range_connection.load_authorities.cache_clear()


@pytest.mark.usefixtures("trusted")
def test_file_arrives_over_tls(secure, download):
    download.gives_the_file(resolve=lambda: Address(secure.url + "/a"))


def test_certificate_of_an_unknown_authority_is_refused_at_once(secure, download):
    download.fails("The certificate of the host is not valid", resolve=lambda: Address(secure.url + "/a"))
    assert secure.seen == []


class Proxy:
    """Passes each CONNECT on to one port, whatever it asks for, and remembers the requests."""

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.seen = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += client.recv(4096)
            self.seen.append(request.decode())
            server = socket.create_connection(("127.0.0.1", self._port))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy(secure, monkeypatch):
    proxy = Proxy(secure.port)
    monkeypatch.setenv("https_proxy", f"http://anna:secret%21@{proxy.address}")
    monkeypatch.setenv("no_proxy", "direct.test")
    yield proxy
    proxy.close()


@pytest.mark.usefixtures("trusted")
def test_proxy_of_the_environment_is_used_with_its_login(secure, proxy, download):
    download.gives_the_file(resolve=lambda: Address("https://weights.test/a"))
    assert proxy.seen[0].startswith("CONNECT weights.test:443 HTTP/1.")
    assert "proxy-authorization: basic yw5uytpzzwnyzxqh" in proxy.seen[0].lower()
    assert not any("proxy-authorization" in seen.headers for seen in secure.seen)


@pytest.mark.usefixtures("trusted")
def test_proxy_is_not_used_where_the_environment_excepts_a_host_nor_for_this_machine(secure, proxy, download):
    download.fails("There is no such host", resolve=lambda: Address("https://direct.test/a"))
    download.gives_the_file(resolve=lambda: Address(secure.url + "/a"))
    assert proxy.seen == []


def test_proxy_of_another_kind_is_refused(download, monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    download.fails("only http:// ones are used", resolve=lambda: Address("https://weights.test/a"))
