"""Options of the server, its refusals before it starts, and its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from tests.utils.serving.asking import ask
from utils.config import Parser
from utils.errors import UserError
from utils.runs.environment import REPOSITORY
from utils.serving.messages import TEXT, Reply, fixed
from utils.serving.server import PageServer
from utils.serving.starting import add_server_options, check_server_options, serve

ROUTES = [fixed("/", Reply(TEXT, b"here"))]
SCRIPT = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from argparse import Namespace
from utils.runs.exits import exit_code
from utils.serving.messages import TEXT, Reply, fixed
from utils.serving.starting import serve
options = Namespace(port=0, host="127.0.0.1", i_know_what_i_expose=False)
routes = [fixed("/", Reply(TEXT, b"here"))]
sys.exit(exit_code(lambda: serve(routes, options), lambda: "the page is closed"))
"""


def options(*words: str):
    parser = Parser(prog="page")
    add_server_options(parser, 8080)
    return parser.parse_args(list(words))


def test_the_defaults_are_this_machine_alone():
    values = options()
    assert (values.port, values.host, values.i_know_what_i_expose) == (8080, "127.0.0.1", False)
    check_server_options(values)
    check_server_options(options("--host", "192.0.2.1", "--i-know-what-i-expose"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--port", "-1"), "--port is -1; give 1 to 65535"),
        (("--port", "65536"), "--port is 65536"),
        (("--host", "localhost"), "--host is 'localhost'; give an IPv4 address"),
        (("--host", ""), "--host is ''"),
        (("--host", "192.0.2.1"), "without a password .* add --i-know-what-i-expose"),
        (("--host", "0.0.0.0", "--i-know-what-i-expose"), "no address to open"),
        (("--host", "192.0.2.1", "--i-know-what-i-expose"), "no address of this machine"),
    ],
)
def test_wrong_options_are_told(words, sentence):
    with pytest.raises(UserError, match=sentence):
        serve(ROUTES, options(*words))


def test_a_used_port_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port} is used by another program; give"):
            serve(ROUTES, options("--port", str(port)))


def test_another_address_has_its_own_name():
    with PageServer(ROUTES, address="127.0.0.2") as server:
        assert server.hosts == {f"127.0.0.2:{server.server_address[1]}"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_130(number):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], **pipes) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("open http://127.0.0.1:")
            port = int(line.split("/")[2].split(":")[1])
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
                assert connection.recv(20).startswith(b"HTTP/1.1 200")
            process.send_signal(number)
            _, error = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130 and error == "\ninterrupted, the page is closed\n"


def test_the_test_mode_serves_at_a_free_port():
    from utils.serving.starting import serving

    with serving(ROUTES) as first, serving(ROUTES) as second:
        assert first.url != second.url and ask(second, "/").body == b"here"
    with pytest.raises(ConnectionError):
        ask(first, "/")
