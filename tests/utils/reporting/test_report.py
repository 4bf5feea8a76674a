"""The report as a browser would read it: parsed markup, decoded pictures; curves as drawn."""

from __future__ import annotations

import base64
import struct
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest

from utils.errors import UserError
from utils.reporting.report import Report, loss_curves

HOSTILE = '<script>alert("1")</script> & <img src="x">'
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements, images and text of a page; fails on tags that do not match."""

    def __init__(self, markup: str):
        super().__init__()
        self.open, self.tags, self.images, self.links, self.ids = [], [], [], [], []
        self.texts = {}
        self.feed(markup)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids.append(attributes.get("id"))
        self.links.append(attributes.get("href"))
        if tag == "img":
            self.images.append(attributes["src"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def read(report: Report, folder) -> Page:
    path = folder / "report.html"
    report.write(path)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return Page(path.read_text("utf-8"))


def png_of(source: str) -> bytes:
    prefix = "data:image/png;base64,"
    assert source.startswith(prefix)
    return base64.b64decode(source[len(prefix) :])


def chunk_names(png: bytes) -> list[str]:
    names, position = [], 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        names.append(png[position + 4 : position + 8].decode())
        position += length + 12
    return names


@pytest.fixture
def report() -> Report:
    report = Report("Run")
    report.add_section("First")
    return report


@pytest.fixture
def history() -> list[dict]:
    rows = [
        {"stage": "synthesis", "step": 10 * k, "seconds_per_step": 0.1, "gradient_norm/G": 1.0}
        for k in (1, 2, 3)
    ]
    for k, row in enumerate(rows):
        row.update({"loss/G": 3.0 - k, "loss/D": 1.0, "G/lesion": 1e-3, "G/mask": 1.0, "D/real": k})
    return [{"stage": "structure", "step": 10, "loss/G": 99.0}, *rows]


def test_a_page_of_everything_is_one_file_without_references(report, history, tmp_path):
    report.add_picture("Slices", "four", np.zeros((4, 4), np.uint8))
    report.add_figure(loss_curves(history, "synthesis"), "Curves")
    report.add_table(pd.DataFrame({"a": [1]}), "Numbers")
    report.add_key_values({"seed": 0}, "Facts")
    report.add_preformatted("config.yaml", "seed: 0\n  b: 1")
    page = read(report, tmp_path)
    assert "http" not in (tmp_path / "report.html").read_text("utf-8")
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert len(page.images) == 2
    assert page.texts["pre"] == ["seed: 0\n  b: 1"]
    assert page.texts["figcaption"] == ["four", "Curves", "Numbers", "Facts"]


def test_contents_lead_to_the_sections_in_order(report, tmp_path):
    report.add_section("Second", "One paragraph,\nstill the same.\n\nAnother.")
    page = read(report, tmp_path)
    targets = [link[1:] for link in page.links if link]
    assert targets == [name for name in page.ids if name] and len(set(targets)) == 2
    assert page.texts["a"] == page.texts["h2"] == ["First", "Second"]
    assert page.texts["p"] == ["One paragraph,\nstill the same.", "Another."]


def test_text_from_outside_never_becomes_markup(tmp_path):
    report = Report(HOSTILE)
    report.add_section(HOSTILE, HOSTILE)
    report.add_picture(HOSTILE, HOSTILE, np.zeros((2, 2), np.uint8))
    index = pd.Index([HOSTILE], name=HOSTILE)
    report.add_table(pd.DataFrame({HOSTILE: [HOSTILE]}, index=index), HOSTILE)
    report.add_key_values({HOSTILE: HOSTILE}, HOSTILE)
    report.add_preformatted(HOSTILE, HOSTILE)
    page = read(report, tmp_path)
    assert "script" not in page.tags and len(page.images) == 1
    for tag in ("h1", "h2", "h3", "p", "a", "th", "td", "summary", "pre", "figcaption", "title"):
        assert HOSTILE in "".join(page.texts[tag]), tag


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
def test_pictures_decode_to_the_same_pixels(report, tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    report.add_picture("Noise", "", picture)
    png = png_of(read(report, tmp_path).images[0])
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., ::-1] if len(shape) == 3 else decoded, picture)
    assert set(chunk_names(png)) == {"IHDR", "IDAT", "IEND"}


def test_other_arrays_and_parts_without_a_section_are_refused(report):
    for picture in (np.zeros((4, 4, 3)), np.zeros((4, 4, 1), np.uint8)):
        with pytest.raises(UserError, match="'Slices' must be uint8"):
            report.add_picture("Slices", "", picture)
    with pytest.raises(UserError, match="add_section"):
        Report("Run").add_key_values({"seed": 0})


def test_figures_carry_no_time_and_no_software(report, history, tmp_path):
    for _ in range(2):
        report.add_figure(loss_curves(history, "synthesis"))
    first, second = (png_of(source) for source in read(report, tmp_path).images)
    assert first == second
    assert not {"tEXt", "iTXt", "zTXt", "tIME"} & set(chunk_names(first))


def test_tables_show_whole_texts_and_rounded_numbers(report, tmp_path):
    words = " ".join(["a long description"] * 9)
    table = pd.DataFrame({"x": [0.123456, np.nan, 13420.0], "n": [1, 2, 3], "w": ["", words, ""]})
    report.add_table(table)
    report.add_key_values({"rate": 1e-5, "share": 0.1 + 0.2})
    report.add_table(pd.DataFrame({"dice": [0.5]}, index=["T1c"]))
    page = read(report, tmp_path)
    cells = [text for text in page.texts["td"] if text.strip()]
    assert cells == ["0.1235", "1", "–", "2", words, "13420", "3", "1e-05", "0.3", "0.5"]
    headers = ["x", "n", "w", "rate", "share", "dice", "T1c"]
    assert [text for text in page.texts["th"] if text.strip()] == headers


def lines(axis) -> dict:
    return {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}


def test_curves_show_totals_above_and_terms_below(history):
    del history[1]["G/mask"]  # a term may be missing in some rows
    upper, lower = loss_curves(history[::-1], "synthesis").axes
    totals = {"loss/D": [[10, 1], [20, 1], [30, 1]], "loss/G": [[10, 3], [20, 2], [30, 1]]}
    assert lines(upper) == totals
    assert lines(lower)["G/mask"] == [[20, 1], [30, 1]]
    styles = {line.get_label(): line.get_linestyle() for line in lower.get_lines()}
    assert styles == {"D/real": "-", "G/lesion": "--", "G/mask": "--"}


def test_only_wide_ranges_without_negative_values_are_logarithmic(history):
    upper, lower = loss_curves(history, "synthesis").axes
    assert (upper.get_yscale(), lower.get_yscale()) == ("linear", "log")
    history[1]["D/real"] = -1.0
    assert loss_curves(history, "synthesis").axes[1].get_yscale() == "linear"


@pytest.mark.parametrize("rows", [[], [{"stage": "synthesis", "step": 1, "loss/G": 0.0}]])
def test_short_histories_can_be_drawn(report, rows, tmp_path):
    figure = loss_curves(rows, "synthesis")
    report.add_figure(figure)
    png = png_of(read(report, tmp_path).images[0])
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[0] > 300
    assert [len(axis.texts) for axis in figure.axes] == [0 if rows else 1, 1]
