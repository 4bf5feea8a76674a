"""Requests as bytes, so that tests can send what no browser would."""

from __future__ import annotations

import socket
from typing import NamedTuple

from utils.serving.server import PageServer


class Answer(NamedTuple):
    """A reply as it arrived; status 0 if there was none."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(server: PageServer, seconds: float = 20.0) -> socket.socket:
    return socket.create_connection(server.server_address[:2], seconds)


def receive(connection: socket.socket) -> Answer:
    """The reply on a connection, which the server closes."""
    pieces = []
    try:
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    except ConnectionError:
        pass
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"")
    first, *lines = head.decode("ascii").split("\r\n")
    return Answer(int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body)


def send(server: PageServer, content: bytes) -> Answer:
    """What the server answers to some bytes."""
    with connect(server) as connection:
        try:
            connection.sendall(content)
        except ConnectionError:
            pass  # it refused before all was sent
        return receive(connection)


def request(
    server: PageServer, path: str, method: str = "GET", body: bytes = b"", **headers: str | None
) -> bytes:
    """A request of the server's own page; None leaves a header out, "_" stands for "-"."""
    host = f"127.0.0.1:{server.server_address[1]}"
    own: dict[str, str | None] = {"Host": host}
    if method != "GET":
        own.update(Origin=f"http://{host}", Content_Length=str(len(body)))
    lines = {**own, **headers}.items()
    text = "".join(f"{name.replace('_', '-')}: {v}\r\n" for name, v in lines if v is not None)
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode() + body


def ask(server: PageServer, path: str, method: str = "GET", **words) -> Answer:
    return send(server, request(server, path, method, **words))
