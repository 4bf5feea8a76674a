"""What Table 1 says about its figures, its chart and its strip of pictures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.slice_sets import Slices
from experiments.engine.request import Request
from experiments.tables.ablation import measures
from experiments.tables.ablation import table as ablation
from experiments.tables.ablation.measures import METRICS, Judge
from experiments.tables.ablation.table import (
    CLAIMS,
    REAL,
    TABLE,
    chart,
    findings,
    settings_frame,
    striking,
    strip,
)
from experiments.tables.ablation.variants import LETTERS, ORDERS
from utils.reporting.tables import markdown_table

NAMES = [metric.key for metric in METRICS]


def figures(**orders) -> dict:
    """Every figure of variant k is (k + 1) / 10 in the order given, of real slices 1."""
    return {
        f"table1/{order}/{row}/{name}": value
        for order, letters in orders.items()
        for row, value in [*((x, (i + 1) / 10) for i, x in enumerate(letters)), (REAL, 1.0)]
        for name in NAMES
    }


def test_the_frame_has_a_row_per_arm_and_those_of_real_slices():
    frame = TABLE.frame(figures(thesis="AF", released="AB"))
    assert frame["row"].tolist() == [
        *("thesis/A", "thesis/F", "released/A", "released/B"),
        *("thesis/real", "released/real"),
    ]
    assert frame["title"].tolist()[1] == "thesis F: + lesion loss (complete)"
    assert frame["overlap"].tolist() == [0.1, 0.2, 0.1, 0.2, 1.0, 1.0]


def test_claims_follow_the_orders():
    for order, claims in CLAIMS.items():
        assert [(a, b) for a, b, *_ in claims] == list(zip(LETTERS, LETTERS[1:]))
        assert all(name in NAMES for *_, name in claims)
        assert order in ORDERS


def test_findings_say_what_got_better_and_rank_the_variants():
    found = findings(TABLE, figures(thesis="ABCDEF"))
    claims = found[: len(CLAIMS["thesis"])]
    assert [text.endswith(", better.") for text in claims] == [False, False, False, True, True]
    assert claims[3] == (
        "thesis D to E (registration loss): overlap of the modalities' maps (Dice) 0.400 to 0.500, "
        "better."
    )
    ranks = {text.split(", ")[1]: text for text in found[len(claims) :]}
    assert ranks["whole-tumour Dice of segmenters"].endswith(
        "best to worst: F 0.600, E 0.500, D 0.400, C 0.300, B 0.200, A 0.100."
    )
    assert ranks["Frechet texture distance"].endswith("D 0.400, E 0.500, F 0.600.")


def test_figures_that_do_not_exist_are_left_out_of_the_ranking():
    values = figures(released="BEF")
    del values["table1/released/B/lesion_outside"]
    (rank,) = [x for x in findings(TABLE, values) if "lesion pixels" in x and "best to worst" in x]
    assert rank.endswith("best to worst: E 0.200, F 0.300.")


def test_the_settings_are_those_of_the_variants():
    text = markdown_table(settings_frame("thesis"))
    assert "| A | no | no | no | no | no | none |" in text
    assert "| F | yes | yes | yes | yes | yes | beside |" in text


@pytest.mark.parametrize("orders", [{"thesis": "AF"}, {"thesis": "AB", "released": "AF"}])
def test_the_chart_has_a_panel_per_figure_with_all_bars(orders):
    values = figures(**orders)
    values["table1/thesis/A/frechet_texture"] = 1e4
    drawn = chart(values, list(orders), "phantom")
    assert len(drawn.axes) == len(METRICS)
    letters = sorted(set("".join(orders.values())))
    for axes in drawn.axes:
        assert [tick.get_text() for tick in axes.get_xticklabels()] == letters
        assert len(axes.containers) == len(orders) and len(axes.lines) == 1
    assert [axes.get_yscale() for axes in drawn.axes] == ["linear", "log", *["linear"] * 4]
    (legend,) = drawn.legends
    assert len(legend.get_texts()) == len(orders) + 1


def test_the_table_gathers_what_is_finished(monkeypatch):
    trained = {("thesis", "B"), ("released", "A"), ("thesis", "F"), ("released", "F")}
    monkeypatch.setattr(
        ablation, "variant_finished", lambda _, x, variant: (x, variant.letter) in trained
    )
    earlier: dict[str, float] = {}

    def gathered(order: str, variants: str) -> list[str]:
        request = Request(Path("out"), None, options={"order": order, "rows": variants})
        run = SimpleNamespace(request=request, read_metrics=lambda: earlier)
        return [f"{order} {variant.letter}" for order, variant in ablation.table_variants(run)]

    assert gathered("thesis", "C") == ["thesis B", "thesis C", "thesis F"]
    assert gathered("released", "B") == ["released A", "released B", "released F"]
    earlier["table1/thesis/B/overlap"] = 0.5
    assert gathered("released", "A") == ["thesis B", "thesis F", "released A", "released F"]


def test_one_undefined_modality_does_not_drop_a_slice(monkeypatch):
    label = np.zeros((2, 8, 8), np.int32)
    label[0, 2:5, 2:5] = 1
    found = np.repeat(label[..., None], 4, axis=-1)
    found[1, 0, 0, 0] = 1  # the first segmenter alone sees a lesion in the empty slice
    judge = object.__new__(Judge)
    judge.find = lambda batch: {"labels": found[: len(batch["images"])]}
    config = SimpleNamespace(evaluation=SimpleNamespace(batch_size=2))
    judge.source = SimpleNamespace(config=config, prepared=SimpleNamespace(dataset=BRATS))
    monkeypatch.setattr(measures, "overlap_figures", lambda *_: {"all/overlap": 1.0})
    dice = judge._content(slices(label, 0 * label))["dice_wt"]
    assert dice == pytest.approx((0.5 + 1 + 1 + 1) / 4)


def slices(label: np.ndarray, outside: np.ndarray) -> Slices:
    images = np.full((*label.shape, 4), 0.5, np.float32)
    return Slices(images, label, outside, 1 - outside, np.arange(len(label)))


def test_striking_slices_have_large_lesions_and_labels_that_leave_the_organ():
    label, outside, other = np.zeros((3, 3, 4, 4), int)
    outside[:, 2:] = 1
    label[:, 0, :1], label[1, 0], label[2, 0] = 1, 1, 1
    other[0, 2:], other[2, 2] = 1, 1  # the second one's other label stays inside
    assert striking(slices(label, outside), other, 2) == [2, 0]


def test_the_strip_has_a_row_per_arm_and_five_columns_per_example():
    label, outside = np.zeros((2, 2, 8, 6), int)
    label[1, 2:5, 2:5] = 4
    matched = slices(label, outside)  # with maps of 1
    variants = ORDERS["thesis"][0], ORDERS["thesis"][-1]  # the first sees neither map nor label
    sheet = strip([(variant, matched) for variant in variants], matched, [1])
    rows, columns = sheet.shape[0] - 2 * 16 - 2, sheet.shape[1] - 5 * 12 - 4 * 2
    assert rows > 0 < columns  # headers and titles
    first, second = sheet[rows : rows + 16, columns:], sheet[rows + 18 :, columns:]
    assert (first[:, :12] == 0).all() and (second[:, :12] == 255).all()
    magenta = [(part == (240, 40, 130)).all(axis=-1).any() for part in (first, second)]
    assert magenta == [False, True]
