"""One connection: a request is read within limits and checked, then answered once.

Nothing of a request is believed before it is checked. A page of another site, to which the browser
can be led to send requests too, is told apart by the headers that browsers set themselves: Host (a
foreign name that was made to lead here, "DNS rebinding"), Origin and Sec-Fetch-Site.
"""

from __future__ import annotations

import io
import re
import socket
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import NoReturn, Optional
from urllib.parse import parse_qsl

from utils.errors import UserError
from utils.runs.names import printable
from utils.serving.messages import TEXT, Refused, Reply, Request, Route

SAFE = ("GET",)
HEAD_BYTES = 32768  # of the request line and all headers
QUERY_FIELDS = 32
BLOCK = 1 << 16
LINGER = 1.0  # seconds in which a client that was refused may read why
HEADERS = {
    # Scripts and styles are files of this server. Viewers draw from textures and pictures that
    # they make in memory (data:, blob:); volumes are fetched from this server.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}
_FULL = Refused(
    503, "Too many requests at the same time; try again in a moment.", {"Retry-After": "1"}
)
_FAULTS = {
    400: "The request is not HTTP as browsers send it; open the page in a browser.",
    414: "The address of the request is too long; open the page anew.",
    431: "The headers of the request are too long; remove the cookies of this address.",
    505: "The request must be of HTTP 1.0 or 1.1; open the page in a browser.",
}


class _Incoming(io.RawIOBase):
    """The bytes of a request, each read and all of them within a time, not more than allowed."""

    def __init__(self, connection: socket.socket, read_seconds: float, all_seconds: float):
        self._connection, self._seconds = connection, read_seconds
        self._end = time.monotonic() + all_seconds
        self.allowed = HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise socket.timeout
        if self.allowed <= 0:
            raise Refused(431, _FAULTS[431])
        self._connection.settimeout(min(self._seconds, left))
        count = self._connection.recv_into(buffer)
        self.allowed -= count
        return count


class Connection(BaseHTTPRequestHandler):
    """Answers one request and closes the connection, so that no bytes of a next one can hide in it.

    What goes wrong here is one line on the error stream, without what was sent.
    """

    protocol_version = "HTTP/1.1"
    command = path = ""

    def setup(self) -> None:
        """Puts the limits of the server between the connection and the parser."""
        super().setup()
        limits = self.server.limits
        self._incoming = _Incoming(self.connection, limits.read_seconds, limits.request_seconds)
        self.rfile = io.BufferedReader(self._incoming)

    def handle(self) -> None:
        """Reads, checks and answers the request, or refuses it."""
        with self.server.place() as free:
            try:
                reply = self._answer() if free else _refusal(_FULL)
            except Refused as refused:
                reply = _refusal(refused)
            except socket.timeout:
                reply = _refusal(Refused(408, "The request did not arrive in time; send it again."))
            except OSError:
                return  # the client has gone
            self._send(reply)

    def send_error(self, code: int, *others: object) -> NoReturn:
        """Raises Refused for what the parser does not take."""
        raise Refused(code, _FAULTS.get(code, _FAULTS[400]))

    def handle_expect_100(self) -> bool:
        """Lets the parser go on: the body is asked for when the request has been checked."""
        return True

    def _answer(self) -> Reply:
        self.raw_requestline = self.rfile.readline(HEAD_BYTES + 1)
        if not self.raw_requestline.endswith(b"\n"):
            raise ConnectionResetError
        self.parse_request()
        if self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
            self.send_error(505)
        self._check_sender()
        path, _, words = self.path.partition("?")
        route = self._route(path)
        body = self._body(route.limit_bytes)
        request = Request(body, _query(words))
        if not route.in_turn:
            return self._handled(route, request)
        with self.server.turns.turn():
            self._check_client()
            return self._handled(route, request)

    def _check_sender(self) -> None:
        """Raises Refused unless the request was sent by a page of this server, or opens one."""
        host, origin = self._single("Host"), self._single("Origin")
        site, mode = self._single("Sec-Fetch-Site"), self._single("Sec-Fetch-Mode")
        if host is None or host.lower() not in self.server.hosts:
            raise Refused(421, "This server has another name; open the address that it printed.")
        # Links of other sites may open the page, and ask for nothing else.
        opens = self.command in SAFE and mode == "navigate" and self.path == "/"
        foreign = site not in (None, "none", "same-origin") and not opens
        unknown = self.command not in SAFE and origin is None and site != "same-origin"
        if origin not in (None, f"http://{host.lower()}") or foreign or unknown:
            raise Refused(403, "Only pages of this server may ask this; open its own page.")

    def _single(self, name: str) -> Optional[str]:
        values = self.headers.get_all(name, [])
        if len(values) > 1:
            self.send_error(400)
        return values[0].strip() if values else None

    def _route(self, path: str) -> Route:
        methods = self.server.table.get(path)
        if methods is None:
            raise Refused(404, "There is nothing at this address; open the server's first page.")
        if self.command not in methods:
            allowed = ", ".join(methods)
            raise Refused(405, f"This address takes {allowed} only; use that.", {"Allow": allowed})
        return methods[self.command]

    def _body(self, limit: int) -> bytes:
        length = self._single("Content-Length")
        chunked = self.headers.get("Transfer-Encoding") is not None
        if chunked or (length is None and self.command not in SAFE):
            raise Refused(411, "The length of the body must be told before; send Content-Length.")
        if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
            self.send_error(400)
        expected = int(length or 0)
        if expected > limit:
            raise Refused(413, f"The body may have {limit} bytes, found {expected}; send fewer.")
        if expected and self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._incoming.allowed += expected
        body = self.rfile.read(expected)
        if len(body) < expected:
            raise ConnectionResetError
        return body

    def _check_client(self) -> None:
        """Raises OSError if the client did not wait for its turn: nobody would see the result."""
        self.connection.settimeout(0)
        with suppress(BlockingIOError):
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError

    def _handled(self, route: Route, request: Request) -> Reply:
        try:
            return route.handler(request)
        except Refused:
            raise
        except UserError as error:
            raise Refused(400, str(error)) from error
        except Exception as error:  # the next request may well succeed
            _tell(f"{self._where()} failed: {type(error).__name__}: {error}")
            raise Refused(500, "The server could not do this; its terminal says why.") from error

    def _where(self) -> str:
        return f"{self.command or '-'} {self.path.partition('?')[0][:80] or '-'}"

    def _send(self, reply: Reply) -> None:
        if reply.status >= 400:
            _tell(f"{self._where()} {reply.status}")
        with suppress(OSError):  # the client has gone, or does not take the reply
            self.connection.settimeout(self.server.limits.write_seconds)
            content = memoryview(_head(reply) + reply.body)
            for start in range(0, len(content), BLOCK):
                self.connection.sendall(content[start : start + BLOCK])
            self._linger()

    def _linger(self) -> None:
        """Waits for the client to close: with unread bytes the reply would be lost on its way."""
        self.connection.shutdown(socket.SHUT_WR)
        end = time.monotonic() + LINGER
        while (left := end - time.monotonic()) > 0:
            self.connection.settimeout(left)
            if not self.connection.recv(BLOCK):
                break


def _refusal(refused: Refused) -> Reply:
    return Reply(TEXT, f"{refused}\n".encode(), refused.status, refused.headers)


def _head(reply: Reply) -> bytes:
    """Returns the status line and the headers; none tells the server's name or versions."""
    own = {"Content-Type": reply.content_type, "Content-Length": str(len(reply.body))}
    lines = [f"{name}: {value}\r\n" for name, value in {**HEADERS, **own, **reply.headers}.items()]
    status = HTTPStatus(reply.status)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{''.join(lines)}\r\n".encode("ascii")


def _query(words: str) -> dict[str, str]:
    """Returns the values behind "?" by name; Refused (400) for others than browsers send."""
    try:
        pairs = parse_qsl(
            words,
            keep_blank_values=True,
            strict_parsing=bool(words),
            errors="strict",
            max_num_fields=QUERY_FIELDS,
        )
    except ValueError as error:
        raise Refused(400, "What stands behind ? must be name=value; reload the page.") from error
    if len(dict(pairs)) < len(pairs):
        raise Refused(400, "A name stands twice behind ?; reload the page.")
    return dict(pairs)


def _tell(text: str) -> None:
    # One write, so that the lines of several connections do not mix.
    sys.stderr.write(f"{printable(text)}\n")
