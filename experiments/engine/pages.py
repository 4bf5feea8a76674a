"""The files of the local pages, read and checked once; afterwards nothing is read for a request."""

from __future__ import annotations

import hashlib
from pathlib import Path

from utils.errors import UserError
from utils.serving.messages import CSS, HTML, JAVASCRIPT, Reply, Route, fixed

FOLDER = Path(__file__).resolve().parents[1] / "pages"
# The viewer of volumes, as its project published it; `niivue/LICENSES.txt` says which release.
NIIVUE = FOLDER / "niivue" / "niivue.umd.js"
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
_KINDS = ((".css", CSS), (".js", JAVASCRIPT))


def page_routes(name: str, with_niivue: bool = False) -> list[Route]:
    """Returns the routes of a page: `name`.html at "/", `/name.css`, `/name.js`, `/niivue.js`.

    All pages share `/common.css`.

    Raises:
        UserError: a file is missing, or niivue is not the release that was checked.
    """
    routes = [
        fixed("/", Reply(HTML, _content(FOLDER / f"{name}.html"))),
        fixed("/common.css", Reply(CSS, _content(FOLDER / "common.css"))),
    ]
    for suffix, kind in _KINDS:
        file = FOLDER / f"{name}{suffix}"
        routes.append(fixed(f"/{file.name}", Reply(kind, _content(file))))
    if with_niivue:
        routes.append(fixed("/niivue.js", Reply(JAVASCRIPT, checked(NIIVUE, NIIVUE_SHA256))))
    return routes


def checked(path: Path, sha256: str) -> bytes:
    """Returns the content of a file; UserError if it is missing or has another SHA-256."""
    content = _content(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path} must have the SHA-256 {sha256}, found {found}; put back the repository's file"
        )
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); put back the repository's file, or install "
            "the project anew"
        ) from error
