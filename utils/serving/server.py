"""The server: connections become threads, within limits; pages are on this machine alone.

It stands on the standard library's socketserver and its parser of HTTP. Werkzeug's server, which
TensorBoard brings, is made for development: it decodes chunked bodies, shows tracebacks and its
version, has no limits of time or of connections, and would have to be undone piece by piece.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from utils.runs.names import printable
from utils.serving.connection import Connection
from utils.serving.messages import Route
from utils.serving.turns import USUAL, Limits, Turns

LOOPBACK = "127.0.0.1"
LAST_WORK = 5.0  # seconds for which the end waits for a computation


class PageServer(socketserver.TCPServer):
    """Serves routes at one address; `serve_forever` answers until `shutdown`.

    Args:
        routes: all that can be asked for; no two with the same method and path.
        port: where to listen, 0 for any free port.
        address: IPv4 address of the machine to listen at.
        limits: see `Limits`.

    Raises:
        OSError: the port or the address cannot be used.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        routes: Iterable[Route],
        port: int = 0,
        address: str = LOOPBACK,
        limits: Limits = USUAL,
    ):
        self.table: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = self.table.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} has two routes")
            methods[route.method] = route
        self.limits, self.turns = limits, Turns(limits)
        self._places = threading.BoundedSemaphore(limits.connections)
        self._doors = threading.BoundedSemaphore(limits.connections + limits.refusals)
        super().__init__((address, port), Connection)
        names = (address, "localhost") if address == LOOPBACK else (address,)
        found = self.server_address[1]
        # Browsers leave out port 80, which is that of every address without one.
        self.hosts = {f"{name}:{found}" for name in names} | (set(names) if found == 80 else set())

    @property
    def url(self) -> str:
        """The address of the first page."""
        return f"http://{self.server_address[0]}:{self.server_address[1]}/"

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Yields whether one more request may be answered now."""
        free = self._places.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._places.release()

    def process_request(self, request: socket.socket, client_address: Any) -> None:
        """Gives a connection a thread, or closes it if too many are being refused already."""
        if not self._doors.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            threading.Thread(
                target=self._attend, args=(request, client_address), daemon=True
            ).start()
        except RuntimeError:  # the system has no thread left
            self._doors.release()
            raise

    def _attend(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:  # of one connection; the others must not notice
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            self._doors.release()

    def handle_error(self, request: socket.socket, client_address: Any) -> None:
        """Tells of an unexpected exception in one line."""
        error = sys.exc_info()[1]
        sys.stderr.write(printable(f"a request failed: {type(error).__name__}: {error}") + "\n")

    def server_close(self) -> None:
        """Stops listening; a computation may end, for none survives the end of the process."""
        super().server_close()
        self.turns.finish(LAST_WORK)
