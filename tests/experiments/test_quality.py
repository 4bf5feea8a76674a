"""Samples of real slices, tumour crops, figures of a set, and what Table 3 says about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.configs.table3 import TINY
from experiments.table3_quality import _crop_jobs
from experiments.tables.quality import (
    TITLES,
    findings,
    flat_metrics,
    quality_frame,
    strip,
    table_text,
)
from experiments.tables.quality import figures as quality
from utils.errors import UserError
from utils.metrics.distributions import frechet_distance, kernel_distance
from utils.metrics.features import standardise
from utils.metrics.images import diversity_ssim, multi_scale_ssim, similarity_ssim
from utils.metrics.quality import (
    QualityConfig,
    Slices,
    lesion_crops,
    quality_figures,
    real_slices,
)

CONFIG = QualityConfig(
    pairs=30, subsets=4, subset_size=50, crop_size=16, crop_margin=1, smallest_lesion=4
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def test_real_slices_are_random_distinct_and_keep_their_patient(monkeypatch):
    class Batch(dict):
        """Arrays that, like tensors, have a method `numpy`."""

    class Tensor(np.ndarray):
        def numpy(self):
            return np.asarray(self)

    images = np.arange(10, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 4))
    rows = {
        "images": images,
        "label": images[..., :1].astype(np.int32),
        "source": np.stack([np.arange(10) // 5, np.arange(10)], axis=-1),
    }
    batches = [
        Batch({key: value[part].view(Tensor) for key, value in rows.items()})
        for part in (slice(0, 4), slice(4, 8), slice(8, 10))
    ]
    monkeypatch.setattr(quality, "number_of_slices", lambda *_: 10)
    monkeypatch.setattr(quality, "evaluation_batches", lambda *_: batches)

    def numbers(count, seed):
        found = real_slices(None, ["a", "b"], count, seed)
        values = found.images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(found.label[:, 0, 0], values)
        np.testing.assert_array_equal(found.subjects, values // 5)
        return list(values)

    few = numbers(6, seed=1)
    assert len(few) == len(set(few)) == 6 and few != sorted(few)
    assert numbers(6, seed=1) == few != numbers(6, seed=2)
    assert numbers(3, seed=1) == few[:3]  # a smaller sample begins a larger one
    assert sorted(numbers(99, seed=1)) == list(range(10))


def test_a_crop_is_the_square_around_the_label_inside_the_image():
    image = np.tile(np.arange(24, dtype=np.float32)[None, :, None] / 24, (32, 1, 4))
    label = np.zeros((4, 32, 24), int)
    label[0, 10:14, 5:13] = [1, 2, 3, 4] * 2  # all classes count; 8 wide, 10 with the margin
    label[1, 30:32, 22:24] = 4  # at the corner: moved inside, not cut
    label[2, 5, 5] = 1  # too small
    label[3, 1:31, 2:22] = 2  # wider than the image: its whole width
    crops = lesion_crops(Slices(np.stack([image] * 4), label, np.array([7, 8, 9, 6])), CONFIG)
    assert crops.images.shape == (3, 16, 16, 4) and list(crops.subjects) == [7, 8, 6]
    left, right = crops.images[:, 8, [0, -1], 0].T * 24
    np.testing.assert_allclose(left, [4, 20, 0], atol=0.5)
    np.testing.assert_allclose(right, [13, 23, 23], atol=0.5)
    assert 0 <= crops.images.min() and crops.images.max() <= 1
    nothing = lesion_crops(Slices(image[None], label[2:3]), CONFIG)
    assert nothing.images.shape == (0, 16, 16, 4) and nothing.subjects is None


def test_the_crop_covers_every_row_and_column_of_the_lesion():
    mask = np.zeros((32, 24), bool)
    mask[3:12, 20:24] = True
    top, left, side = quality._square(mask, 2)
    assert (top, left, side) == (1, 11, 13)
    window = mask[top : top + side, left : left + side]
    assert window.shape == (13, 13) and window.sum() == mask.sum()


def means(images: np.ndarray) -> np.ndarray:
    """Two features per image."""
    return np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)


def test_figures_are_those_of_the_metrics_per_modality():
    subjects = np.arange(12) % 3
    own, real = Slices(noise(12, 24, 24, 4), None, subjects), Slices(noise(9, 24, 24, 4, seed=1))
    found = quality_figures(own, real, {"texture": means, "inception": means}, CONFIG, seed=5)
    images, others = own.images, real.images
    expected = {
        "ms_ssim_2_similarity": similarity_ssim(images, others, 30, 5, multi_scale_ssim),
        "ms_ssim_2_diversity": diversity_ssim(images, 30, 5, subjects, multi_scale_ssim),
    }
    pairs = [(means(others[..., i]), means(images[..., i])) for i in range(4)]
    for name, scaled in (("texture", [standardise(*p) for p in pairs]), ("inception", pairs)):
        expected[f"frechet_{name}"] = [frechet_distance(*pair) for pair in scaled]
        expected[f"kernel_{name}"] = [kernel_distance(*pair, 4, 9, 5)[0] for pair in scaled]
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_slices_of_a_single_patient_are_paired_with_each_other():
    alone = Slices(noise(4, 11, 11, 4), None, np.zeros(4, int))
    found = quality_figures(alone, alone, {}, CONFIG, seed=0)
    assert np.isfinite(found["ms_ssim_1_diversity"]).all()


VALUES = {  # similarity, diversity, distance
    "real": (0.5, 0.40, 1.0),
    "ours": (0.4, 0.50, 3.0),
    "skrgan_star": (0.3, 0.45, 2.0),
    "gan_sharp": (0.2, 0.10, 9.0),
    "real_tumour": (0.6, 0.60, 2.0),
    "ours_tumour": (0.5, 0.70, 4.0),
}
FEW = Slices(noise(4, 11, 11, 4))
NAMES = ("ms_ssim_3_similarity", "ms_ssim_3_diversity", "frechet_texture")
FIGURES = {
    system: {name: v + np.array([-0.1, 0.1, 0, 0]) for name, v in zip(NAMES, values)}
    for system, values in VALUES.items()
}
SIZES = {system: (100 + i, 50) for i, system in enumerate(VALUES)}


def test_the_order_is_told_whatever_it_is():
    similarity, diversity, distance = findings(FIGURES)
    assert "Ours 0.4, SkrGAN* 0.3, GAN# 0.2 (real 0.5); the thesis' order" in similarity
    # Nearest to the real 0.40, not the smallest.
    assert "SkrGAN* 0.45, Ours 0.5, GAN# 0.1 (real 0.4); not the thesis' order" in diversity
    assert "SkrGAN* 2, Ours 3, GAN# 9 (real 1); not the thesis' order" in distance


def test_the_table_has_means_modalities_and_the_thesis():
    frame = quality_frame(FIGURES, SIZES)
    assert list(frame.columns) == [
        *("system", "modality", "images", "held_out"),
        *NAMES,
        *("thesis_ms_ssim", "thesis_fid"),
    ]
    assert len(frame) == len(TITLES) * 5
    ours = frame[frame["system"] == "Ours"]
    assert list(ours["modality"]) == ["mean", "T1", "T2", "T1c", "Flair"]
    np.testing.assert_allclose(ours["frechet_texture"], [3.0, 2.9, 3.1, 3.0, 3.0])
    assert list(ours["thesis_fid"])[0] == 22.27 and ours["thesis_fid"].isna().sum() == 4
    text = table_text(frame, FIGURES, SIZES, ["a note"])
    assert "| GAN# | 103 | 50 | 0.200 | 0.100 | 9.000 | 0.561 | 104.530 |" in text
    assert all(f"`{name}`: " in text for name in NAMES) and "* a note\n" in text
    assert "FID is absent" in text and "singular" not in text
    few = {**SIZES, "ours_tumour": (19, 50)}
    assert "19 slices are fewer than 19" not in table_text(frame, FIGURES, SIZES, [])
    assert "singular" in table_text(frame, FIGURES, few, [])


def test_too_few_slices_are_told_for_each_extractor():
    def text(count: int, names: tuple) -> str:
        figures = {
            system: {**values, **dict.fromkeys(names, np.ones(4))}
            for system, values in FIGURES.items()
        }
        sizes = dict.fromkeys(figures, (count, count))
        return table_text(quality_frame(figures, sizes), figures, sizes, [])

    names = tuple(quality_figures(FEW, FEW, {"inception": means}, CONFIG, seed=0))
    assert "frechet_inception" in names
    few, caution = text(2048, names), "fewer than 2048 inception features need"
    assert caution in few and "texture features need" not in few and "FID is absent" not in few
    assert caution not in text(2049, names) and caution not in text(2048, ())


def test_without_crops_the_other_rows_remain():
    whole = {system: FIGURES[system] for system in FIGURES if "tumour" not in system}
    slices = Slices(FEW.images, np.zeros((4, 11, 11), int))
    assert not _crop_jobs({"real": slices, "ours": slices}, slices, CONFIG)
    assert len(quality_frame(whole, SIZES)) == 4 * 5


def test_metrics_have_a_key_per_system_and_modality():
    metrics = flat_metrics(FIGURES, SIZES)
    assert metrics["table3/gan_sharp/images"] == 103
    assert metrics["table3/ours/frechet_texture"] == pytest.approx(3)
    assert metrics["table3/ours/T2/frechet_texture"] == pytest.approx(3.1)
    assert len(metrics) == len(VALUES) * (2 + len(NAMES) * 5)


def test_the_strip_shows_every_system_and_modality():
    figure = strip({"real": noise(2, 8, 8, 4), "Ours": noise(1, 8, 8, 4)})
    assert [a.get_title() for a in figure.axes[:9]] == (2 * ["T1", "T2", "T1c", "Flair", ""])[:9]
    assert figure.axes[0].get_ylabel() == "real" and figure.axes[9].get_ylabel() == "Ours"
    assert sum(len(axes.images) for axes in figure.axes) == 12  # the second of one is missing


def test_impossible_settings_are_refused():
    for change in ({"pairs": 0}, {"subset_size": 1}, {"crop_size": 10}, {"crop_margin": -1}):
        with pytest.raises(UserError, match=f"--quality.{next(iter(change))} is"):
            replace(CONFIG, **change)
    with pytest.raises(UserError, match="--samples is 1; give 2 or more"):
        replace(TINY, samples=1)
