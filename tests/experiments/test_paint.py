"""The page that draws painted lesions: what its server answers, and a person at work on it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from data.random_lesions import random_lesion
from experiments import paint
from experiments.engine.pages import page_routes
from experiments.systems.structure_gan.painting import Painter, painter_of
from experiments.systems.structure_gan.rendering import LabelRenderer
from tests.browser import Visit
from utils.runs.exits import exit_code
from utils.serving.messages import Request
from utils.serving.starting import serving

SIZE = (32, 24)
SECOND_FINGER = (
    "place => document.getElementById('paper').dispatchEvent(new PointerEvent('pointerup',"
    " {pointerId: 77, clientX: place[0], clientY: place[1]}))"
)


@pytest.fixture(scope="module")
def painter(tiny_run) -> Painter:
    return painter_of(tiny_run)


@pytest.fixture(scope="module")
def url(painter):
    with serving([*page_routes("paint"), *painter.routes()]) as server:
        yield server.url


def packed(label: np.ndarray) -> str:
    return base64.b64encode(label.astype(np.uint8).tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIZE)


def ask(handler, **content) -> dict:
    return json.loads(handler(Request(json.dumps(content).encode())).body)


def inside_of(painter: Painter, number: int = 0) -> np.ndarray:
    brain = json.loads(painter.brain(Request(query={"number": str(number)})).body)
    return unpacked(brain["outside"]) == 0


def a_label(painter: Painter) -> np.ndarray:
    """The largest patch of the brain, so that there is room for a change."""
    return random_lesion(inside_of(painter), np.random.default_rng(0), [6.0] * 2)


def test_the_page_is_told_what_the_run_has(painter):
    settings = painter.settings()
    assert tuple(settings["size"]) == SIZE and settings["sequences"] == ("T1", "T2", "T1c", "Flair")
    assert settings["classes"][0] == "background" and len(settings["colours"]) == 5
    assert settings["notice"] == "Phantom images, not medical data."
    assert Painter(painter.renderer, False).settings()["notice"].endswith("not for diagnosis.")


def test_images_are_those_of_the_network_and_scores_those_of_the_segmenters(painter):
    label = a_label(painter)
    reply = ask(painter.render, brain=0, seed=5, label=packed(label))
    renderer: LabelRenderer = painter.renderer
    brain = renderer.random_brain(0)
    images = renderer.images(brain, label[None], 5)
    found = renderer.found(images)
    for k in range(4):
        shown = unpacked(reply["images"][k])
        np.testing.assert_allclose(shown / 255, images[0, ..., k], atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(unpacked(reply["found"][k]), found[0, ..., k])
        both = ((found[0, ..., k] > 0) & (label > 0)).sum()
        wanted = 2 * both / ((found[0, ..., k] > 0).sum() + (label > 0).sum())
        assert reply["dice"][k] == pytest.approx(wanted, abs=1e-6)
    empty = ask(painter.render, brain=0, seed=5, label=packed(np.zeros(SIZE)))
    assert empty["dice"] == [None] * 4


def test_changes_are_those_of_the_label_tools(painter):
    label = a_label(painter)
    grown = ask(painter.change, brain=0, seed=0, label=packed(label), change="grow:1.5")
    grown = unpacked(grown["label"])
    assert (grown > 0).sum() > (label > 0).sum() and not grown[~inside_of(painter)].any()
    assert set(np.unique(grown)) <= set(np.unique(label))
    lesion = ask(painter.random, brain=0, seed=3, label=packed(np.zeros(SIZE)))
    wanted = random_lesion(inside_of(painter), np.random.default_rng(3), [6.0] * 2)
    np.testing.assert_array_equal(unpacked(lesion["label"]), wanted)


def test_downloads_hold_the_painted_label(painter):
    label = a_label(painter)
    words = {"brain": 0, "seed": 5, "label": packed(label)}
    body = json.dumps({**words, "kind": "npz", "variations": 3}).encode()
    with np.load(io.BytesIO(painter.download(Request(body)).body)) as arrays:
        count = len(arrays["images"])
        assert 1 <= count <= 3 and arrays["images"].shape[1:] == (*SIZE, 4)
        np.testing.assert_array_equal(arrays["label"], [label] * count)
        assert not arrays["outside"][:, label > 0].any()  # every brain holds all of the lesion
        shown = ask(painter.render, **words)["images"][2]
        np.testing.assert_allclose(arrays["images"][0, ..., 2] * 255, unpacked(shown), atol=0.51)
    body = json.dumps({**words, "kind": "nii", "variations": 1}).encode()
    with zipfile.ZipFile(io.BytesIO(painter.download(Request(body)).body)) as archive:
        check_volumes(archive, label)


def check_volumes(archive: zipfile.ZipFile, label: np.ndarray) -> None:
    names = [f"{name}.nii.gz" for name in ("T1", "T2", "T1c", "Flair", "label")]
    assert archive.namelist() == names
    for name in names:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(name)))
        assert image.shape == (24, 32, 1) and np.allclose(image.header.get_zooms(), (6, 6, 1))
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0].T, label)


def test_what_a_page_cannot_have_sent_is_refused(url, painter):
    label, outside = packed(a_label(painter)), np.uint8(~inside_of(painter))
    good = {"brain": 0, "seed": 0, "label": label}
    bad = [
        ("render", {**good, "brain": -1}, "brain must be a whole number from 0"),
        ("render", {**good, "brain": 1.5}, "brain must be"),
        ("render", {**good, "seed": True}, "seed must be"),
        ("render", {**good, "seed": "9" * 30}, "seed must be"),
        ("render", {**good, "label": "###"}, "bytes in base64"),
        ("render", {**good, "label": None}, "bytes in base64"),
        ("render", {**good, "label": packed(np.zeros((3, 3)))}, "must have 32x24 pixels"),
        ("render", {**good, "label": packed(np.full(SIZE, 5))}, "must hold 0 to 4"),
        ("render", {"brain": 0, "seed": 0}, "bytes in base64"),
        ("change", {**good, "change": "donor:/etc/passwd"}, "must be one of mirror, grow"),
        ("change", {**good, "change": 3}, "must be one of mirror, grow"),
        ("change", {**good, "change": "grow:1e999"}, "is no change of a lesion"),
        ("change", {**good, "change": "move:99:99"}, "leaves nothing of the lesion"),
        ("download", {**good, "kind": "exe", "variations": 1}, "npz or nii"),
        ("download", {**good, "kind": "npz", "variations": 0}, "npz or nii"),
        ("download", {**good, "kind": "npz", "variations": 65}, "variations must be"),
    ]
    if outside.any():
        bad.append(("render", {**good, "label": packed(outside)}, "lies outside of the brain"))
    for path, content, message in bad:
        request = urllib.request.Request(
            f"{url}{path}", json.dumps(content).encode(), {"Origin": url.rstrip("/")}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=60)
        with caught.value as reply:
            assert reply.code == 400, (path, content)
            assert message in reply.read().decode()
    request = urllib.request.Request(
        f"{url}render", json.dumps(good).encode(), {"Origin": url.rstrip("/")}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200


def test_a_hundred_requests_at_once_are_answered_or_told_to_wait(url, painter):
    body = json.dumps({"brain": 0, "seed": 0, "label": packed(a_label(painter))}).encode()
    request = urllib.request.Request(f"{url}render", body, {"Origin": url.rstrip("/")})

    def status(_: int) -> int:
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:  # the hundredth is not even told
            return 0

    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(status, range(100)))
    assert set(found) <= {200, 503, 0} and found.count(200) >= 5
    assert status(0) == 200


def test_a_body_far_beyond_a_label_is_not_read(url):
    request = urllib.request.Request(f"{url}render", b"x" * 100_000, {"Origin": url.rstrip("/")})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as reply:
        assert reply.code == 413


def test_a_person_paints_and_four_images_answer(browser, url, painter, tmp_path):
    with Visit(browser, url) as visit:
        page = visit.page
        visit.wait("drawn")

        def pixels(name: str) -> np.ndarray:
            url = page.evaluate(f"document.getElementById('{name}').toDataURL()")
            with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
                return np.asarray(picture.convert("RGB"))

        def settled() -> None:
            page.wait_for_timeout(200)
            visit.wait("drawn")

        page.uncheck("#outlines")
        before = [pixels(f"image-{k}") for k in range(4)]
        place = np.argwhere(inside_of(painter))[len(np.argwhere(inside_of(painter))) // 2]
        box = page.locator("#paper").bounding_box()
        scale = min(box["width"] / SIZE[1], box["height"] / SIZE[0])
        left = box["x"] + (box["width"] - scale * SIZE[1]) / 2
        x, y = left + (place[1] + 0.5) * scale, box["y"] + (place[0] + 0.5) * scale
        page.keyboard.press("2")
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 2 * scale, y, steps=4)
        page.mouse.up()
        settled()
        after = [pixels(f"image-{k}") for k in range(4)]
        row, column = place * 6
        for k in range(4):
            under = np.s_[row : row + 6, column : column + 6]
            assert (before[k][under] != after[k][under]).any(), k
        assert "Did the images follow the label?" in page.inner_text("#status")
        # While the button is held images follow, and a second finger changes nothing.
        asked = visit.asked.count(f"{url}render")
        page.mouse.move(x, y)
        page.mouse.down()
        for number in range(40):
            page.mouse.move(x + scale * (number % 3), y + scale * (number % 2))
        page.wait_for_timeout(300)
        assert visit.asked.count(f"{url}render") > asked + 1
        page.evaluate(SECOND_FINGER, [x, y])
        assert page.is_enabled("#undo")
        page.mouse.up()
        settled()
        page.keyboard.press("u")
        settled()
        np.testing.assert_array_equal(pixels("image-0"), after[0])
        page.keyboard.press("u")
        settled()
        for k in range(4):
            np.testing.assert_array_equal(pixels(f"image-{k}"), before[k])
        page.keyboard.press("y")
        settled()
        np.testing.assert_array_equal(pixels("image-0"), after[0])
        with page.expect_download() as waiting:
            page.click("#nii")
        waiting.value.save_as(tmp_path / "painted.zip")
        with zipfile.ZipFile(tmp_path / "painted.zip") as archive:
            image = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read("label.nii.gz")))
        label = np.asarray(image.dataobj)[..., 0].T
        assert label[tuple(place)] == 2 and set(np.unique(label)) == {0, 2}
        # The same with the keyboard alone.
        page.keyboard.press("x")
        settled()
        page.focus("#paper")
        page.keyboard.press("4")
        for key in ("ArrowLeft", "ArrowRight", "Space"):
            page.keyboard.press(key)
        settled()
        # Actions that are asked for quickly are done one after the other, each on the last.
        for key in "bbr":
            page.keyboard.press(key)
        page.wait_for_timeout(500)
        settled()
        assert page.inner_text("#number") == "2"
        assert "could not" not in page.inner_text("#status")
        assert not visit.complaints
        assert all(asked.startswith(url) for asked in visit.asked)


def test_what_the_command_refuses(tiny_run, tmp_path, monkeypatch, capsys):
    for words, message in (
        (("--run", tmp_path), "holds no config.json"),
        (("--run", tiny_run, "--port", "70000"), "--port is 70000"),
        (("--run", tiny_run, "--host", "0.0.0.0"), "no address to open"),
        (("--run", tiny_run, "--host", "192.0.2.1"), "where other machines may see"),
    ):
        monkeypatch.setattr(sys, "argv", ["paint.py", *map(str, words)])
        assert exit_code(paint.main, paint._after_interrupt) == 2
        assert message in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())
