"""The viewer's page in a browser: a volume and its label, drawn without any other host."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data.volumes import write_volume
from experiments import view
from experiments.engine.pages import page_routes
from tests.browser import Visit
from utils.serving.starting import serving

SIDE = 24


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The page of two small volumes, balls in noise, with a label."""
    folder = tmp_path_factory.mktemp("case")
    distance = np.linalg.norm(np.indices((SIDE,) * 3) - SIDE / 2, axis=0)
    noise = np.random.default_rng(0).integers(0, 100, (SIDE,) * 3)
    ball = ((distance < 10) * (400 + noise)).astype(np.int16)
    write_volume(folder / "ball_t1.nii.gz", ball)
    write_volume(folder / "ball_t2.mha", ball[::-1], spacing=(2.0, 1.0, 1.0))
    label = np.where(distance < 3, 2, distance < 6).astype(np.uint8)
    write_volume(folder / "ball_seg.nii.gz", label)
    shown = [view.read(found) for found in view.find_files([folder])]
    with serving([*page_routes("view", with_niivue=True), *view.volume_routes(shown)]) as server:
        yield server.url


def picture(visit: Visit) -> np.ndarray:
    """The planes as they are on the screen, [H,W,3] RGB."""
    visit.page.wait_for_timeout(300)
    png = visit.page.screenshot(clip=visit.page.locator("main").bounding_box())
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def coloured(image: np.ndarray) -> float:
    """The share of pixels that are clearly not grey, those of the crosshair among them."""
    return float(np.mean(np.ptp(image, axis=-1) > 60))


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 800)])
def test_a_volume_is_drawn_with_its_label(browser, url, width, height):
    with Visit(browser, url, width, height) as visit:
        visit.wait()
        page = visit.page
        assert "ball_t1.nii.gz: 24 × 24 × 24 voxels of 1 × 1 × 1 mm" in page.inner_text("#status")
        assert page.inner_text("#position").endswith("label 2")
        assert "Not for diagnosis" in page.inner_text("header")
        image = picture(visit)
        assert 0.02 < np.mean(image.max(axis=-1) > 60) < 0.9 and coloured(image) > 0.01
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width  # nothing is cut off at the side
        assert all(asked.startswith(url) for asked in visit.asked) and visit.complaints == []


def test_every_control_does_what_it_says(browser, url):
    with Visit(browser, url) as visit:
        visit.wait()
        page, first = visit.page, picture(visit)
        page.fill("#opacity", "0")
        assert page.inner_text("#percent") == "0 %" and coloured(picture(visit)) < coloured(first)
        page.fill("#opacity", "100")
        assert coloured(picture(visit)) >= coloured(first)

        usual = page.input_value("#high")
        page.fill("#high", "5000")
        page.press("#high", "Enter")
        assert picture(visit).mean() < first.mean()
        page.fill("#high", "-1")
        page.press("#high", "Enter")
        assert "must go from a lower to a higher number" in page.inner_text("#status")
        page.click("#reset")
        assert page.input_value("#high") == usual

        page.select_option("#layout", "axial")
        assert np.abs(picture(visit) - first).mean() > 1
        page.uncheck("#radiological")

        page.check("input[name=volume][value='1']")
        page.wait_for_selector("#status:has-text('t2.mha:')")
        assert "the label has another grid" in page.inner_text("#status")
        page.select_option("#label", "")
        page.wait_for_selector("#colours:empty", state="attached")
        visit.wait()
        assert page.is_disabled("#centre") and page.is_disabled("#opacity")
        page.check("input[name=volume][value='0']")
        page.wait_for_selector("#status:has-text('t1.nii.gz:')")
        assert page.input_value("#label") == ""  # as chosen
        assert visit.complaints == []


def test_the_keyboard_reaches_everything(browser, url):
    with Visit(browser, url) as visit:
        visit.wait()
        page, reached = visit.page, []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("document.activeElement.id || document.activeElement.name")
            )
        controls = ["volume", "label", "opacity", "centre", "layout", "radiological", "low", "high"]
        assert [name for name in reached if name][:10] == [*controls, "reset", "planes"]
        names = "[...document.querySelectorAll('input, select')].filter((i) => !i.labels.length "
        assert page.evaluate(f"{names} && !i.ariaLabel).map((i) => i.id)") == []

        page.focus("#planes")
        before = page.inner_text("#position")
        assert before.startswith("12 mm left, 12 mm back, 12 mm up")
        page.keyboard.press("ArrowRight")  # towards the patient's left
        page.keyboard.press("ArrowUp")
        page.keyboard.press("PageUp")
        assert page.inner_text("#position").startswith("13 mm left, 11 mm back, 13 mm up")
        page.click("#centre")
        assert page.inner_text("#position") == before


def test_a_browser_that_cannot_draw_is_told(browser, url):
    with Visit(browser, "about:blank") as visit:
        visit.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        visit.page.goto(url)
        visit.wait("failed")
        assert "no WebGL 2; open the page in another one" in visit.page.inner_text("#status")


def test_a_server_that_has_ended_is_told(browser, url):
    with Visit(browser, url) as visit:
        visit.wait()
        visit.page.route("**/volume-1.nii", lambda route: route.fulfill(status=503, body="Busy."))
        visit.page.check("input[name=volume][value='1']")
        visit.wait("failed")
        assert "could not be shown (Busy.)" in visit.page.inner_text("#status")
        visit.page.check("input[name=volume][value='0']")
        visit.wait()
