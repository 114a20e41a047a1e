"""What the tests of the local guard share."""

import socket

BODY_S = 10  # before a test gives up


class Upstream:
    """A server that keeps what it is sent, and hands its connections to the test."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(BODY_S)

    @property
    def place(self) -> tuple[str, int]:
        return self.listener.getsockname()

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(BODY_S)
        return connection

    def nobody_came(self) -> bool:
        self.listener.settimeout(0)
        try:
            self.listener.accept()
        except BlockingIOError:
            return True
        return False


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=BODY_S)


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        part = connection.recv(1)
        assert part, data
        data += part
    return data
