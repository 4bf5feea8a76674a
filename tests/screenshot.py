"""Makes the README's picture of the page of experiments/paint.py.

    python -m tests.screenshot docs/pictures/paint.png

It needs Chromium and playwright, as the tests of pages do.
"""

from __future__ import annotations

import experiments._start  # noqa: F401

import sys
from pathlib import Path

from PIL import Image

from experiments.engine.pages import page_routes
from experiments.engine.published import run_folder
from experiments.systems.structure_gan.painting import painter_of
from tests.browser import Visit, started
from utils.serving.starting import serving

BRAIN = 4
# Tissue, brush in pixels, and a line through places as shares of the picture's width and height.
STROKES = (
    ("2", 13, ((0.36, 0.44), (0.33, 0.54), (0.37, 0.60))),
    ("4", 8, ((0.36, 0.48), (0.35, 0.55))),
    ("1", 3, ((0.355, 0.50), (0.35, 0.53))),
)


def paint(visit: Visit) -> None:
    """Paints the lesion by mouse, as a person does."""
    page = visit.page
    visit.wait("drawn")
    for _ in range(BRAIN):
        page.keyboard.press("b")
        page.wait_for_timeout(300)
        visit.wait("drawn")
    box = page.locator("#paper").bounding_box()
    height = box["width"] * 4 / 3  # of slices of 96x72 pixels
    for tissue, brush, places in STROKES:
        page.keyboard.press(tissue)
        page.evaluate(
            "width => { const brush = document.getElementById('brush'); brush.value = width;"
            " brush.dispatchEvent(new Event('input')) }",
            brush,
        )
        spots = [(box["x"] + x * box["width"], box["y"] + y * height) for x, y in places]
        page.mouse.move(*spots[0])
        page.mouse.down()
        for spot in spots[1:]:
            page.mouse.move(*spot, steps=8)
        page.mouse.up()
        page.wait_for_timeout(500)
        visit.wait("drawn")
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)


def main(path: Path) -> None:
    """Writes the picture."""
    painter = painter_of(run_folder(Path("phantom")))
    routes = [*page_routes("paint"), *painter.routes()]
    with serving(routes) as server, started() as browser, Visit(browser, server.url) as visit:
        paint(visit)
        visit.page.screenshot(path=str(path))
    with Image.open(path) as picture:
        picture.convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
