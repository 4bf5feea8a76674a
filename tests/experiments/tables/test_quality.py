"""Table 3's page on made-up figures, and what it says about them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from data.chest_xray.dataset import CHEST_XRAY
from data.retina.dataset import RETINA
from data.slice_sets import Slices
from data.tianchi_ct.dataset import TIANCHI_CT
from experiments.configs.quality import PRESETS, TINY
from experiments.tables.quality.rows import (
    TABLE2,
    TABLE3,
    TITLES,
    by_channel,
    findings,
    judged_channels,
    measured_table,
)
from experiments.tables.quality.table import (
    TABLE2_QUALITY,
    _classic_note,
    _crop_pairs,
    _warnings,
    strip,
)
from utils.errors import UserError
from utils.metrics.quality import QualityConfig
from utils.reporting.pictures import ROW_SCALE
from utils.reporting.tables import markdown_table
from utils.training.trainer import Schedule

VALUES = {  # similarity, diversity, distance
    "real": (0.5, 0.40, 1.0),
    "ours": (0.4, 0.50, 3.0),
    "skrgan_star": (0.3, 0.45, 2.0),
    "gan_sharp": (0.2, 0.10, 9.0),
    "real_tumour": (0.6, 0.60, 2.0),
    "ours_tumour": (0.5, 0.70, 4.0),
}
NAMES = ("ms_ssim_3_similarity", "ms_ssim_3_diversity", "frechet_texture")
SIZE = (44, 44)  # pixels, which allow three scales
FIGURES = {
    f"table3/brats/{system}/{key}": value
    for i, (system, values) in enumerate(VALUES.items())
    for key, value in {
        **{"images": 100 + i, "held_out": 50},
        **by_channel(
            {n: v + np.array([-0.1, 0.1, 0, 0]) for n, v in zip(NAMES, values)}, MODALITIES
        ),
    }.items()
}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_the_order_is_told_whatever_it_is():
    table = measured_table(TABLE3, BRATS, SIZE, ["texture"])
    similarity, diversity, distance, _ = findings(table, FIGURES)
    assert "Ours 0.4, SkrGAN* 0.3, GAN# 0.2 (real 0.5); the thesis' order" in similarity
    # Nearest to the real 0.40, not the smallest.
    assert "SkrGAN* 0.45, Ours 0.5, GAN# 0.1 (real 0.4); not the thesis' order" in diversity
    assert "SkrGAN* 2, Ours 3, GAN# 9 (real 1); not the thesis' order" in distance


def test_the_table_has_means_modalities_and_the_thesis():
    table = measured_table(TABLE3, BRATS, SIZE, ["texture"])
    frame = table.frame(FIGURES)
    assert len(frame) == len(VALUES) * 5 and set(frame["title"]) == {TITLES[key] for key in VALUES}
    ours = frame[frame["title"] == "Ours"]
    assert list(ours["part"]) == ["", "T1", "T2", "T1c", "Flair"]
    np.testing.assert_allclose(ours["frechet_texture"], [3.0, 2.9, 3.1, 3.0, 3.0])
    printed = ours["paper_ms_ssim_3_similarity"]
    assert list(printed)[0] == 0.727 and printed.isna().sum() == 4
    text = markdown_table(table.printed(frame[frame["part"] == ""]))
    assert "| GAN# | 103 | 50 | 0.200 | 0.561 | -0.361 | 0.100 | 9.000 |" in text
    assert [text.split("`")[1] for text in table.definitions()] == [
        "images",
        "held_out",
        *NAMES,
        "kernel_texture",
    ]
    ours = {key: value for key, value in FIGURES.items() if key.startswith("table3/brats/ours/")}
    assert table.frame(ours)["row"].nunique() == 1
    with_fid = measured_table(TABLE3, BRATS, SIZE, ["texture", "inception"])
    assert (
        with_fid.frame({"table3/brats/ours/frechet_inception": 30.0})["paper_frechet_inception"][0]
        == 22.27
    )


def test_too_few_slices_are_told_for_each_extractor():
    def text(count: int, *extractors: str) -> str:
        return " ".join(_warnings(extractors, min(99, count)))

    assert (
        text(98, "texture")
        == text(99, "texture")
        == "FID is absent: it needs " + ("`--inception-weights FILE`.")
    )
    assert "Caution: 19 slices are fewer than 19" not in text(20, "texture")
    assert "singular" in text(19, "texture")
    few = " ".join(_warnings(["inception"], 2048))
    caution = "fewer than 2048 inception features need"
    assert caution in few and "texture features need" not in few and "FID is absent" not in few
    assert not _warnings(["inception"], 2049)
    assert caution not in text(99, "texture")


@pytest.mark.parametrize(
    "preset, models, told",
    [("tiny", "wgan,pggan", True), ("tiny", "dcgan", False), ("thesis", "wgan,pggan", False)],
)
def test_a_wgan_without_its_long_turns_is_told(preset, models, told):
    config = replace(PRESETS[preset], models=models)
    schedule = lambda training: Schedule(steps=9, batch_size=4)  # noqa: E731
    note = _classic_note(
        SimpleNamespace(config=config, experiment=TABLE2_QUALITY, schedule=schedule)
    )
    assert ("none of its authors' long turns" in note) == told
    if "wgan" in models:
        assert "as many images: WGAN 9 with 4 (of its critic), PGGAN 9 with 4" in note


def test_crops_are_equally_many_and_left_out_where_there_are_none():
    config = replace(TINY, quality=QualityConfig(crop_size=16, smallest_lesion=4))
    label = np.zeros((4, 11, 11), int)
    images = noise(4, 11, 11, 4)
    without = Slices(images, label)
    assert not _crop_pairs({"real": without, "ours": without}, without, config)
    label = label.copy()
    label[:3, 2:5, 2:5] = 1
    real, ours = Slices(images, label, subjects=np.arange(4)), Slices(images[1:], label[1:])
    jobs = _crop_pairs({"real": real, "ours": ours}, real, config)
    assert {name: tuple(map(len, pair)) for name, pair in jobs.items()} == {
        "real_tumour": (2, 2),
        "ours_tumour": (2, 2),
    }
    assert jobs["real_tumour"][0].subjects.tolist() == [0, 1]


def test_the_strip_shows_every_system_and_modality():
    ones = np.ones((2, 8, 6, 4), np.float32)
    sheet = strip({"real": Slices(ones), "Ours": Slices(ones[:1])}, BRATS)
    height, width = 8 * ROW_SCALE, 6 * ROW_SCALE
    shown = sheet[-2 * height - 2 :, -8 * width - 14 :, 0]  # below the headers, beside the titles
    for top, count in ((0, 8), (height + 2, 4)):  # the second slice of a set of one is missing
        cells = [shown[top : top + height, k * (width + 2) :][:, :width] for k in range(8)]
        assert [cell.min() == 255 for cell in cells] == [True] * count + [False] * (8 - count)


def test_a_table_has_the_rows_of_its_data_set():
    xray, retina = (
        measured_table(table, dataset, SIZE, ["texture"])
        for table, dataset in ((TABLE2, CHEST_XRAY), (TABLE3, RETINA))
    )
    assert [row.key for row in xray.rows] == [
        f"chest_xray/{key}" for key in TITLES if not key.endswith("_tumour")
    ]
    assert xray.parts == () and retina.parts == ("red", "green", "blue")
    assert [row.place for row in retina.rows] == [
        "",
        *(f"thesis Table 3, colour fundus, {name}" for name in ("Ours", "SkrGAN*", "GAN#")),
        *[""] * 5,  # the classic GANs stand in Table 2 alone
    ]
    # The thesis has no GAN# in Table 2: its place does not count, wherever it is.
    values = {"real": 0, "gan_sharp": 1, "ours": 2, "skrgan_star": 3}
    figures = {f"table2/chest_xray/{key}/frechet_texture": v for key, v in values.items()}
    text = findings(xray, figures)[2]
    assert "GAN# 1, Ours 2, SkrGAN* 3 (real 0); the thesis' order" in text


def test_of_neighbouring_slices_the_middle_one_is_judged():
    assert judged_channels(TIANCHI_CT) == TIANCHI_CT.channels[1:2]
    assert judged_channels(RETINA) == ("red", "green", "blue")
    assert by_channel({"a": np.array([0.5])}, ["slice"]) == {"a": 0.5}


def test_the_strip_shows_single_images_in_colour():
    images = np.zeros((9, 8, 6, 3), np.float32)
    images[..., 0] = 1
    sheet = strip({"real": Slices(images)}, RETINA)
    cell = sheet[-8 * ROW_SCALE :, -6 * ROW_SCALE :]
    assert (cell == (255, 0, 0)).all() and sheet.shape[1] > 8 * 6 * ROW_SCALE


def test_too_few_samples_are_refused():
    with pytest.raises(UserError, match="--samples is 1; give 2 or more"):
        replace(TINY, samples=1)
