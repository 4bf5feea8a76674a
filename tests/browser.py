"""Pages in a headless Chromium, with everything that it asked for and complained about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing is asked of other hosts, and drawing in three dimensions needs no graphics card.
FLAGS = (
    *("--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WAIT = 60_000.0  # ms; a machine with other work on it draws slowly


def chromium() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started() -> Iterator[Any]:
    """A running browser; skips the test where there is none."""
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    path = chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    # As root, Chromium refuses its sandbox.
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page at an address, and what happened on it.

    Attributes:
        page: playwright's page.
        asked: addresses of all requests, those of data and memory left out.
        complaints: errors and warnings of the console, exceptions and failed requests.
    """

    def __init__(self, browser: Any, url: str, width: int = 1280, height: int = 800):
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(WAIT)
        self.page.on("request", self._note)
        self.page.on("requestfailed", self._note_failure)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)
        self.page.goto(url)

    def _note(self, request: Any) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.asked.append(request.url)

    def _note_failure(self, request: Any) -> None:
        self.complaints.append(f"{request.url}: {request.failure}")

    def _listen(self, message: Any) -> None:
        # The driver of a machine without graphics card tells that reading pixels is slow.
        if message.type in ("error", "warning") and "GPU stall" not in message.text:
            self.complaints.append(message.text)

    def wait(self, state: str = "loaded") -> None:
        """Waits until the page says in `data-state` that it is done."""
        self.page.wait_for_selector(f'html[data-state="{state}"]', state="attached")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()
