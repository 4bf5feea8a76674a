"""What a page asks and what it is given: requests, replies, refusals and routes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Callable, NamedTuple, NoReturn

HTML, CSS = "text/html; charset=utf-8", "text/css; charset=utf-8"
JAVASCRIPT, TEXT = "text/javascript; charset=utf-8", "text/plain; charset=utf-8"
JSON, PNG, BINARY = "application/json", "image/png", "application/octet-stream"
_NONE: Mapping[str, str] = MappingProxyType({})
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Refused(Exception):
    """A request that gets an error in the place of what it asked for; the text is a sentence.

    Attributes:
        status: the reply's status, 400 to 599.
        headers: further headers of the reply, such as the seconds to wait ("Retry-After").
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] = _NONE):
        super().__init__(sentence)
        self.status, self.headers = status, headers


class Request(NamedTuple):
    """What a handler sees of a request.

    Attributes:
        body: its bytes, at most as many as the route allows.
        query: the values behind "?", by name; each name stands there once.
    """

    body: bytes = b""
    query: Mapping[str, str] = _NONE

    def json(self) -> dict[str, Any]:
        """Returns the body's values by name; Refused (400) unless it is an object in JSON."""
        try:
            content = json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "The body must be JSON in UTF-8; reload the page.") from error
        if not isinstance(content, dict):
            found = type(content).__name__
            raise Refused(
                400, f"The body must be an object in JSON, found {found}; reload the page."
            )
        return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


class Reply(NamedTuple):
    """What the page is given.

    Attributes:
        content_type: type of the body, such as `PNG`.
        body: its bytes.
        status: 200, or an error's.
        headers: further headers, by name.
    """

    content_type: str
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = _NONE


def json_reply(content: Any) -> Reply:
    """Returns a reply of JSON; ValueError for NaN and infinity, which browsers refuse."""
    return Reply(JSON, json.dumps(content, allow_nan=False).encode())


def download(name: str, content_type: str, body: bytes) -> Reply:
    """Returns a reply that the browser saves under `name`, of letters, digits, "_", "-" and "."."""
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain name of a file")
    return Reply(
        content_type, body, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


class Route(NamedTuple):
    """A path of the server and what answers there.

    Attributes:
        method: "GET" or "POST".
        path: the whole path, compared letter by letter; nothing of it reaches the file system.
        handler: gives the reply; what it raises as Refused or UserError becomes the page's error.
        limit_bytes: most bytes of a body.
        in_turn: whether only one request to all such routes is worked on at a time, such as one
            that a network answers; a few wait, others are refused.
    """

    method: str
    path: str
    handler: Callable[[Request], Reply]
    limit_bytes: int = 0
    in_turn: bool = False


def fixed(path: str, reply: Reply) -> Route:
    """Returns the route of something that stays the same."""
    return Route("GET", path, lambda request: reply)
