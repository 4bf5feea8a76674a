"""The figures of TC-MGAN's evaluation against numbers by hand, and the pages made of them."""

from __future__ import annotations

import numpy as np
import pytest

from data.slice_sets import Slices
from experiments.systems.tc_mgan.evaluation import (
    contrast_figures,
    evenly_spread,
    measure,
    quality_figures,
)
from experiments.systems.tc_mgan.report import translation_table
from experiments.tables.tc_mgan import segmentation, translation
from models.tc_mgan.modalities import TARGETS

REAL = {"T1": 0.2, "T2": 0.9, "T1c": 0.4, "Flair": 0.6}  # in the order of the channels


def flat_slices(errors: tuple, size: int = 8) -> tuple[Slices, np.ndarray]:
    """Slices of one value per modality, translated; `errors` has (Flair, T1c, T1) of each."""
    count = len(errors)
    real = np.broadcast_to(np.float32(list(REAL.values())), (count, size, size, 4)).copy()
    wanted = np.float32([REAL[name] for name in TARGETS]) + np.float32(errors)
    translated = np.broadcast_to(wanted[:, None, None], (count, size, size, 3)).copy()
    label = np.zeros((count, size, size), np.int32)
    return Slices(real, label), translated


def parts_of(errors: tuple) -> list:
    """What is kept of slices when each is a patient's."""
    return [measure(*flat_slices((error,))) for error in errors]


def test_quality_is_the_mean_over_slices_of_each_target():
    figures = quality_figures(parts_of(((0.1, 0.01, 0.001), (0.01, 0.1, 0.1))))
    expected = {"Flair": (30, 10), "T1c": (30, 10), "T1": (40, 20)}  # mean, deviation; dB
    for name, (mean, deviation) in expected.items():
        assert figures[f"translation/{name}/psnr"] == pytest.approx(mean, abs=1e-3)
        assert figures[f"translation/{name}/psnr_std"] == pytest.approx(deviation, abs=1e-3)
    assert figures["translation/psnr"] == pytest.approx(100 / 3, abs=1e-3)
    assert figures["translation/slices"] == 2
    assert len(figures) == 1 + 3 * (2 * len(TARGETS) + 1)


@pytest.mark.parametrize(("figure", "constant"), [("ssim", 1e-4), ("ssim_range2", 4e-4)])
def test_similarity_takes_its_data_range(figure, constant):
    figures = quality_figures([measure(*flat_slices(((0.1, 0.1, 0.1),)))])
    values = []
    for name in TARGETS:
        a, b = REAL[name], REAL[name] + 0.1
        values.append((2 * a * b + constant) / (a * a + b * b + constant))  # without any structure
        assert figures[f"translation/{name}/{figure}"] == pytest.approx(values[-1], abs=1e-6)
        assert figures[f"translation/{name}/{figure}_std"] == 0
    assert figures[f"translation/{figure}"] == pytest.approx(np.mean(values), abs=1e-6)


def test_contrast_is_enhancing_tumour_over_healthy_brain():
    slices, translated = flat_slices(((0.0, 0.0, 0.0),) * 2)
    slices.images[:, :, :2] = translated[:, :, :2] = 0  # background: counts nowhere
    slices.label[0, 2, 2:4] = 4  # two pixels of enhancing tumour
    slices.label[0, 3, 2:4] = 2  # oedema: neither tumour nor healthy
    slices.images[0, 2, 2:4, 2] = 0.8, 1.0
    translated[0, 2, 2:4, 1] = 0.2
    slices.images[0, 3, 2:4], translated[0, 3, 2:4] = 1, 1
    figures = contrast_figures([measure(slices, translated)])
    assert figures.pop("contrast/real/T1c/enhancing") == pytest.approx(0.9 / 0.4)
    assert figures.pop("contrast/translated/T1c/enhancing") == pytest.approx(0.2 / 0.4)
    assert len(figures) == 4
    assert list(figures.values()) == pytest.approx([1] * 4)
    slices.label[slices.label == 4] = 1
    assert contrast_figures([measure(slices, translated)]) == {}


def test_pictures_show_slices_with_enhancing_tumour_if_there_are_any():
    found = np.zeros(9, bool)
    assert evenly_spread(found, 3).tolist() == [0, 4, 8]
    found[[1, 2, 5, 6, 7]] = True
    assert evenly_spread(found, 3).tolist() == [1, 5, 7]
    assert evenly_spread(found, 20).tolist() == [1, 2, 5, 6, 7]


def test_patients_may_be_measured_one_by_one():
    rng = np.random.default_rng(0)
    real, translated = (rng.random((5, 8, 8, n), np.float32) for n in (4, 3))
    label = rng.integers(0, 5, (5, 8, 8))
    label[:3][label[:3] == 4] = 0  # the first patient has no enhancing tumour
    real[..., 1] *= rng.random((5, 8, 8)) > 0.2
    slices = Slices(real, label)
    rows = np.arange(3), np.arange(3, 5)
    parts = [measure(slices.choose(part), translated[part]) for part in rows]
    for figures in (quality_figures, contrast_figures):
        whole = figures([measure(slices, translated)])
        assert whole and figures(parts) == pytest.approx(whole, 1e-12)


def test_the_reports_table_has_means_spreads_and_contrasts():
    slices, translated = flat_slices(((0.1, 0.01, 0.001), (0.01, 0.1, 0.1)))
    table = translation_table(quality_figures([measure(slices, translated)]))
    assert table.loc["PSNR, dB, peak 1 (higher is better)", "T1"] == "40.000 +- 20.000"
    contrast = table.loc["enhancing tumour over healthy brain, real"]
    assert contrast.tolist() == ["nan"] * 3
    slices.label[0, 0, 0] = 4
    table = translation_table(
        {
            **quality_figures([measure(slices, translated)]),
            **contrast_figures([measure(slices, translated)]),
        }
    )
    assert table.loc["enhancing tumour over healthy brain, real", "Flair"] == "1.000"


def test_table_1_sets_each_number_beside_the_papers():
    table = translation.TABLE
    figures = {
        f"table1_tc_mgan/{row.key}/{name}/{metric.key}{end}": float(number)
        for number, row in enumerate(table.rows)
        for name in TARGETS
        for metric in table.metrics
        for end in ("", "_std")
    }
    frame = table.frame(figures)
    assert len(frame) == len(TARGETS) * 4
    rows = frame.set_index(["part", "title"])
    row = rows.loc[("T1c", "TC-MGAN")]
    assert (row["psnr"], row["psnr_std"], row["paper_psnr"]) == (2, 2, 25.6822)
    assert row["difference_psnr"] == pytest.approx(2 - 25.6822)
    assert rows.loc[("T1", "3 x pix2pix"), "paper_ssim_range2"] == 0.9421
    assert "paper_ssim" not in frame  # unknown
    assert rows.loc[("T1c", "3 x pix2pix"), "paper_psnr_std"] == 3.1622
    assert rows.loc[("T1", "TC-MGAN"), "paper_ssim_range2_std"] == 0.0326


def words_of(alone: float, ours: float, real: float) -> str:
    values = {"only_t2": alone, "tc_mgan": ours, "real": real}
    metrics = {
        f"table2_tc_mgan/{row.key}/dice{end}": values.get(row.key, 0.5)
        for row in segmentation.TABLE.rows
        for end in ("", "_std")
    }
    frame = segmentation.TABLE.frame(metrics)
    differences = frame["dice"] - frame["paper_dice"]
    assert frame["difference_dice"].tolist() == differences.tolist()
    return " ".join(segmentation.findings(segmentation.TABLE, metrics))


def test_table_2_says_whether_the_papers_order_holds():
    text = words_of(0.4, 0.5, 0.8)
    assert "holds: 0.400, 0.500, 0.800" in text and "closes 25% of the gap" in text
    assert "does not hold" in words_of(0.4, 0.3, 0.8) and "-25%" in words_of(0.4, 0.3, 0.8)
    assert "does not hold" in words_of(0.4, 0.9, 0.8)
    text = words_of(0.8, 0.8, 0.8)
    assert "real modalities holds" in text and "there is no gap to close" in text
