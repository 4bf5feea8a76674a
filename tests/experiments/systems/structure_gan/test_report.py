from __future__ import annotations

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from data.slice_sets import Slices
from experiments.systems.structure_gan.report import (
    _add_pictures,
    dark_modalities,
    no_lesions,
    translation_table,
    volume_caption,
    volume_table,
)
from utils.reporting.report import Report


def slices(lesion: bool) -> Slices:
    rng = np.random.default_rng(0)
    label = np.full((3, 16, 16), 0, np.uint8)
    label[1, 4:9, 4:9] = lesion
    maps = rng.integers(0, 2, (3, 16, 16))
    return Slices(rng.random((3, 16, 16, 4), np.float32), label, maps, maps)


@pytest.mark.parametrize("lesion", [True, False])
def test_held_out_slices_are_drawn_with_or_without_lesion(tmp_path, lesion):
    report = Report("<report>")
    _add_pictures(report, slices(lesion), slices(True), MODALITIES)
    report.write(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("<img") == 3


def test_the_page_says_that_no_held_out_slice_has_a_lesion():
    key = "segmentation/real/images_with_lesion"
    assert "No held-out slice has a lesion" in no_lesions({key: 0.0})
    assert no_lesions({key: 3.0}) == no_lesions({}) == ""


def test_the_page_warns_of_dark_modalities():
    real = slices(True)
    real.images[..., 1] *= 0.2  # the median of what is inside the mask was about 0.5
    text = dark_modalities(real, BRATS)
    assert "below 0.15 in T2: " in text and "--slicing.scaling percentile" in text
    assert dark_modalities(slices(True), BRATS) == ""


def test_translations_have_a_row_each():
    table = translation_table(
        {
            "translation/T1_to_T2/ssim": 0.5,
            "translation/T1_to_T2/psnr": 20.0,
            "translation/ssim": 0.5,
            "segmentation/real/dice_wt": 0.9,
        }
    )
    assert list(table.index) == ["T1 to T2", "mean"]
    assert table.loc["T1 to T2", "psnr"] == 20 and table.loc["mean", "ssim"] == 0.5


def test_volumes_have_a_row_per_region():
    place = "segmentation/real/volume"
    metrics = {
        f"{place}/dice_tc": 0.71234,
        f"{place}/lesionwise_hd95_tc": 93.5,
        f"{place}/left_out_hd95_et": 0.75,
        f"{place}/patients": 4.0,
        f"{place}/missing_slices": 2.0,
    }
    table = volume_table(metrics, BRATS)
    assert list(table.index) == ["WT", "TC", "ET"] and table.notna().to_numpy().sum() == 3
    assert table.loc["TC", ["Dice", "lesion-wise HD95, mm"]].tolist() == [0.712, 93.5]
    assert table.loc["ET", "patients without HD95"] == 0.75
    caption = volume_caption(metrics)
    assert "4 held-out patients" in caption and "2 between them are missing" in caption
