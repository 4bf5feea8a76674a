"""The server of local pages: what it answers, what it refuses, and that it lives on."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.utils.serving.asking import Answer, ask, connect, receive, request, send
from utils.errors import UserError
from utils.serving.messages import PNG, TEXT, Refused, Reply, Route, download, fixed, json_reply
from utils.serving.server import PageServer
from utils.serving.starting import serving
from utils.serving.turns import Limits

SHORT = Limits(connections=8, read_seconds=0.3, request_seconds=0.8, write_seconds=0.5, waiting=2)


class Work:
    """A handler that tells when it begins and waits until it may end."""

    def __init__(self):
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        self.running = self.most = self.done = 0

    def __call__(self, asked) -> Reply:
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.release()
        assert self.may_end.wait(20)
        self.running -= 1
        self.done += 1
        return Reply(PNG, asked.body)


def fail(error: Exception):
    def handler(asked):
        raise error

    return handler


def until(status: int, server) -> Answer:
    """The answer at "/" when it has a status, which may take some seconds."""
    end = time.monotonic() + 20
    while (answer := ask(server, "/")).status != status:
        assert time.monotonic() < end
        time.sleep(0.05)
    return answer


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def server(work, tmp_path, monkeypatch):
    """A server in an empty folder, where nothing may be left, which answers after each test."""
    monkeypatch.chdir(tmp_path)
    routes = [
        fixed("/", Reply("text/html", b"first")),
        fixed("/large", Reply(TEXT, bytes(30_000_000))),
        fixed("/file", download("label.nii.gz", PNG, b"1")),
        Route("GET", "/query", lambda asked: json_reply(dict(asked.query))),
        Route("POST", "/echo", lambda asked: Reply(PNG, asked.body), limit_bytes=1000),
        Route("POST", "/json", lambda asked: json_reply(asked.json()), limit_bytes=1 << 20),
        Route("POST", "/work", work, limit_bytes=10, in_turn=True),
        Route("GET", "/refused", fail(Refused(409, "Not now.")), in_turn=True),
        Route("GET", "/mistake", fail(UserError("the label is empty; paint one"))),
        Route("GET", "/broken", fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))),
        Route("GET", "/bug", fail(KeyError("secret\nline"))),
    ]
    with serving(routes, SHORT) as server:
        yield server
        work.may_end.set()
        assert until(200, server).body == b"first"
    assert list(tmp_path.rglob("*")) == []


def test_replies_and_their_headers(server):
    answer = ask(server, "/")
    assert (answer.status, answer.body) == (200, b"first")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    expected = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Content-Length": "5",
    }
    assert expected.items() <= answer.headers.items()
    assert not {"Server", "Date"} & set(answer.headers)
    assert ask(server, "/nothing").headers["Content-Security-Policy"] == policy
    assert "label.nii.gz" in ask(server, "/file").headers["Content-Disposition"]
    assert len(ask(server, "/large").body) == 30_000_000


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "../a", ".a", "a\r\nb", "ä"])
def test_downloads_have_plain_names(name):
    with pytest.raises(ValueError, match="plain name"):
        download(name, PNG, b"")


def test_a_body_and_a_query_reach_the_handler(server):
    assert ask(server, "/echo", "POST", body=b"\0\xff").body == b"\0\xff"
    assert ask(server, "/json", "POST", body=b'{"a": [1]}').body == b'{"a": [1]}'
    assert json.loads(ask(server, "/query?a=1&b=%C3%A4").body) == {"a": "1", "b": "ä"}
    waiting = request(server, "/echo", "POST", body=b"12", Expect="100-continue")
    assert send(server, waiting).status == 100


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None),
        *("localhost.evil.example:{port}", "[::1]:{port}", "127.0.0.1:{port}@evil.example"),
    ],
)
def test_other_names_of_the_server_are_refused(server, host):
    port = server.server_address[1]
    assert ask(server, "/", Host=host and host.format(port=port)).status == 421
    assert ask(server, "/", Host=f"LOCALHOST:{port}").status == 200
    twice = request(server, "/").replace(b"\r\n\r\n", b"\r\nHost: evil.example\r\n\r\n")
    assert send(server, twice).status == 400


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Origin": "http://evil.example"}, 403),
        ("GET", {"Origin": "null"}, 403),
        ("GET", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ("GET", {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
        ("GET", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ("GET", {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"}, 200),
        ("POST", {"Origin": "http://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "https://127.0.0.1:{port}"}, 403),
        ("POST", {"Origin": "http://localhost:{port}"}, 403),
        ("POST", {"Origin": None}, 403),
        ("POST", {"Origin": None, "Sec_Fetch_Site": "same-site"}, 403),
        ("POST", {"Origin": None, "Sec_Fetch_Site": "none"}, 403),
        ("POST", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 403),
        ("POST", {"Origin": None, "Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(server, method, headers, status):
    port = server.server_address[1]
    headers = {name: value and value.format(port=port) for name, value in headers.items()}
    assert ask(server, "/" if method == "GET" else "/echo", method, **headers).status == status


@pytest.mark.parametrize(
    "path",
    [
        *("/nothing", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/.", "/large/"),
        *("/..%2f..%2fetc%2fpasswd", "/large%00", "//etc/passwd", "/LARGE", "file:///etc/passwd"),
        *("http://evil.example/", "*", "/\\..\\..\\etc", "/./large", "/%6carge"),
    ],
)
def test_paths_are_names_of_routes_and_nothing_else(server, path):
    assert ask(server, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "get"])
def test_other_methods_are_refused(server, method):
    answer = ask(server, "/", method)
    assert answer.status == 405 and answer.headers["Allow"] == "GET"
    assert ask(server, "/echo").headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({"body": bytes(1001)}, 413),
        ({"body": b"", "Content_Length": "10000000000"}, 413),
        ({"Content_Length": None}, 411),
        (
            {
                "Content_Length": None,
                "Transfer_Encoding": "chunked",
                "body": b"1\r\na\r\n0\r\n\r\n",
            },
            411,
        ),
        ({"Transfer_Encoding": "chunked", "body": b"1\r\na\r\n0\r\n\r\n"}, 411),
        ({"Content_Length": "-1"}, 400),
        ({"Content_Length": "1e3"}, 400),
        ({"Content_Length": "+3", "body": b"abc"}, 400),
        ({"Content_Length": "9" * 19}, 400),
    ],
)
def test_bodies_have_a_length_within_the_limit(server, words, status):
    assert ask(server, "/echo", "POST", **words).status == status
    twice = request(server, "/echo", "POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n")
    assert send(server, twice).status == 400


def test_a_large_body_is_refused_before_it_is_read(server):
    start = time.monotonic()
    with connect(server) as connection:
        connection.sendall(request(server, "/echo", "POST", Content_Length="999999"))
        assert receive(connection).status == 413
    assert ask(server, "/", Content_Length="3", body=b"abc").status == 413  # GET takes none
    with connect(server) as connection:  # sends all before it looks, which must not fail
        connection.sendall(request(server, "/echo", "POST", body=bytes(5_000_000)))
        assert receive(connection).status == 413
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"1" * 5000]
)
def test_malformed_bodies_are_refused_in_one_sentence(server, body):
    answer = ask(server, "/json", "POST", body=body)
    assert answer.status == 400 and answer.body.count(b"\n") == 1
    assert answer.body.startswith(b"The body must be ")


@pytest.mark.parametrize("query", ["a", "a=%FF", "a=1&a=2", "&".join(f"a{i}=1" for i in range(40))])
def test_malformed_queries_are_refused(server, query):
    assert ask(server, f"/query?{query}").status == 400


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\n", 400),  # somebody tries https
        (b"GET " + b"/" * 40_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 9000 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused(server, content, status):
    assert send(server, content).status == status


def test_slow_clients_are_sent_away_while_others_are_answered(server):
    body = request(server, "/echo", "POST", body=b"1", Content_Length="9")
    with connect(server) as silent, connect(server) as unfinished, connect(server) as dripping:
        silent.sendall(b"GET / HT")
        unfinished.sendall(body)
        start = time.monotonic()
        assert ask(server, "/").status == 200
        dripping.sendall(b"GET / HTTP/1.1\r\nA: ")
        while not select.select([dripping], [], [], 0.1)[0]:  # each letter in time, all too late
            dripping.sendall(b"a")
            assert time.monotonic() - start < 10
        assert receive(dripping).status == 408
        assert receive(silent).status == receive(unfinished).status == 408


def test_a_client_that_does_not_take_its_reply_is_left(server):
    connections = [connect(server) for _ in range(SHORT.connections)]
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(request(server, "/large"))
    assert until(200, server).status == 200  # their places are free again
    for connection in connections:
        connection.close()


def test_a_hundred_requests_at_once(server):
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: ask(server, "/"), range(100)))
    found = {answer.status for answer in answers}
    assert 200 in found and found <= {200, 503, 0}
    refused = [answer for answer in answers if answer.status == 503]
    assert all(answer.headers["Retry-After"] == "1" for answer in refused)


def test_more_connections_than_places_are_refused_or_closed():
    limits = Limits(connections=2, refusals=1)
    with serving([fixed("/", Reply(TEXT, b""))], limits) as server:
        held = [connect(server) for _ in range(2)]
        assert until(503, server).headers["Retry-After"] == "1"
        for connection in held:
            connection.close()
        until(200, server)


def test_one_computation_at_a_time_and_few_that_wait(server, work):
    def compute(number):
        return ask(server, "/work", "POST", body=bytes([number]))

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(compute, 0)
        assert work.begun.acquire(timeout=10)
        others = [pool.submit(compute, number) for number in range(1, 5)]
        end = time.monotonic() + 10
        while sum(one.done() for one in others) < 2:  # two wait, two are refused
            assert time.monotonic() < end
            time.sleep(0.02)
        assert ask(server, "/").status == 200
        work.may_end.set()
        answers = [one.result() for one in others]
    refused = [answer for answer in answers if answer.status == 503]
    assert first.result().body == b"\0" and len(refused) == 2
    assert all("Retry-After" in answer.headers for answer in refused)
    assert work.most == 1 and work.done == 3
    assert ask(server, "/refused").status == 409  # the turn is given back after an error, too
    assert ask(server, "/refused").status == 409


def test_nothing_is_computed_for_a_client_that_has_gone(server, work):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, "/work", "POST", body=b"1")
        assert work.begun.acquire(timeout=10)
        with connect(server) as impatient:
            impatient.sendall(request(server, "/work", "POST", body=b"2"))
            time.sleep(0.2)
        work.may_end.set()
        assert first.result().status == 200
    time.sleep(0.2)
    assert work.done == 1


def test_broken_connections_leave_no_trace(server, capfd):
    for content in (b"", b"GET", request(server, "/echo", "POST", body=b"1", Content_Length="5")):
        with connect(server) as connection:
            connection.sendall(content)
    with connect(server) as connection:
        # Closing with a reset, in the middle of the reply.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(request(server, "/large"))
        connection.recv(1000)
    time.sleep(0.2)
    assert capfd.readouterr().err == ""


def test_errors_of_handlers_are_sentences_and_the_server_lives(server, capfd):
    answers = {path: ask(server, path) for path in ("/mistake", "/refused", "/broken", "/bug?a=1")}
    assert [answer.status for answer in answers.values()] == [400, 409, 500, 500]
    assert answers["/mistake"].body == b"the label is empty; paint one\n"
    assert all(b"secret" not in answer.body for answer in answers.values())
    assert ask(server, "/nothing\x1b[1m?secret=1").status in (400, 404)
    lines = capfd.readouterr().err.splitlines()
    assert lines[:2] == ["GET /mistake 400", "GET /refused 409"]
    assert sum("failed" in line for line in lines) == 2 and "Traceback" not in "".join(lines)
    assert "a=1" not in "".join(lines) and "secret=1" not in "".join(lines)
    assert "\x1b" not in "".join(lines)


def test_a_path_has_one_route_per_method():
    with pytest.raises(ValueError, match="two routes"):
        PageServer([fixed("/", Reply(TEXT, b"")), fixed("/", Reply(TEXT, b""))])
