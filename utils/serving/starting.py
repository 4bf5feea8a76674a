"""Starting the server: from the command line until Ctrl-C, or for a test within a block."""

from __future__ import annotations

import errno
import ipaddress
import threading
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from utils.config import Parser
from utils.errors import UserError
from utils.serving.messages import Route
from utils.serving.server import LOOPBACK, PageServer
from utils.serving.turns import USUAL, Limits

EXPOSING = "--i-know-what-i-expose"


def add_server_options(parser: Parser, port: int) -> None:
    """Adds the options that `serve` reads; `port` is the default one."""
    add = parser.add_argument
    add("--port", type=int, default=port, help="where the page is; 0 for any free port")
    add("--host", default=LOOPBACK, help="address to listen at, this machine's own")
    add(EXPOSING, action="store_true", help="let other machines see and use the page by --host")


def serve(routes: Iterable[Route], options: Namespace) -> None:
    """Prints the address of the first page and serves until Ctrl-C or SIGTERM.

    Args:
        routes: see `PageServer`.
        options: values of the options of `add_server_options`.

    Raises:
        UserError: the port or the address cannot be used; an address that other machines reach
            needs the second option.
        KeyboardInterrupt: it was asked to end.
    """
    with _open(routes, options) as server:
        print(f"open {server.url} in a browser; Ctrl-C ends the server", flush=True)
        server.serve_forever()


def check_server_options(options: Namespace) -> None:
    """Raises UserError for a wrong port or address; to be called before long work."""
    host = options.host
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port is {options.port}; give 1 to 65535, or 0 for any free port")
    try:
        anywhere = ipaddress.IPv4Address(host).is_unspecified
    except ValueError as error:
        raise UserError(f"--host is {host!r}; give an IPv4 address such as {LOOPBACK}") from error
    if anywhere:
        raise UserError(f"--host is {host}, which is no address to open; give that of this machine")
    if host != LOOPBACK and not options.i_know_what_i_expose:
        raise UserError(
            f"--host is {host}, where other machines may see the data without a password and "
            f"without encryption; leave it out, or add {EXPOSING} in a private network"
        )


def _open(routes: Iterable[Route], options: Namespace) -> PageServer:
    check_server_options(options)
    host, port = options.host, options.port
    try:
        return PageServer(routes, port, host)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"--port {port} is used by another program; give another one, or 0",
            errno.EACCES: f"--port {port} is not for this user; give one above 1023, or 0",
            errno.EADDRNOTAVAIL: f"--host {host} is no address of this machine; leave it out",
        }
        if error.errno not in reasons:
            raise
        raise UserError(reasons[error.errno]) from error


@contextmanager
def serving(routes: Iterable[Route], limits: Limits = USUAL) -> Iterator[PageServer]:
    """Yields a server that answers at a free port in a thread of its own until the block ends."""
    with PageServer(routes, limits=limits) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
