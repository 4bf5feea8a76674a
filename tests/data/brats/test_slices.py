from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.brats.label_schemes import resolve_scheme
from data.brats.names import MODALITIES
from data.brats.preparation import prepare_subject
from data.brats.slices import SliceConfig, output_size, pixel_size, voxel_size
from data.volumes import write_volume
from tests.data.trees import (
    LAYOUTS,
    SHAPE,
    TINY,
    Case,
    case_files,
    find_subjects,
    tiny_case,
    write_case,
)
from utils.errors import UserError


def one_subject(root, case: Case, layout: str = "flat2015"):
    write_case(case_files(root, layout), case)
    return find_subjects(root)[0]


def test_defaults_are_the_papers_crop():
    config = SliceConfig()
    assert output_size(config) == (184, 144)
    assert config.slices[1] - config.slices[0] == 50
    assert output_size(replace(config, downsample=2)) == (92, 72)
    assert pixel_size(config) == 1 and pixel_size(replace(config, downsample=2)) == 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tree_gives_the_same_slices(tmp_path, layout):
    case = tiny_case(7)
    subject = one_subject(tmp_path, case, layout)
    requested = "brats2023" if layout == "brats2023" else None
    images, label, axial, *_ = prepare_subject(subject, TINY, resolve_scheme([subject], requested))
    assert images.dtype == np.float32 and label.dtype == np.uint8 and axial.tolist() == [1, 2, 3, 4]
    for index, name in enumerate(MODALITIES):
        volume = case.images[name].astype(np.float64)
        scaled = (volume - volume.min()) / (volume.max() - volume.min())
        np.testing.assert_allclose(images[..., index], scaled[1:5, 2:10, 1:9], atol=1e-7)
    np.testing.assert_array_equal(label, case.label[1:5, 2:10, 1:9])


def test_extremes_outside_the_crop_set_the_scale(tmp_path):
    case = tiny_case()
    for array in case.images.values():
        array[:] = 100 + 40 * (np.arange(10) % 2)  # noise all around: nothing is background
        array[2, 5, 5] = 200
    case.images["T2"][0, 0, 0], case.images["T2"][5, 0, 0] = -300, 500
    images, *_ = prepare_subject(one_subject(tmp_path, case), TINY, "brats2015")
    lit = images[1, 3, 4]  # voxel (2, 5, 5) of the volume
    np.testing.assert_allclose(lit, [1.0, 500 / 800, 1.0, 1.0])
    np.testing.assert_allclose(images[0, 0, 1], [0.0, 400 / 800, 0.0, 0.0])


def test_the_full_range_of_16_bit_does_not_wrap_and_a_healthy_case_is_allowed(tmp_path):
    case = Case(tiny_case().images, np.zeros(SHAPE, np.uint8))
    case.images["T1"] = np.random.default_rng(0).integers(-5000, 5000, SHAPE).astype(np.int16)
    case.images["T1"][2, 4, 4], case.images["T1"][2, 5, 5] = -32768, 32767
    images, label, *_ = prepare_subject(one_subject(tmp_path, case), TINY, "brats2015")
    assert images[1, 2, 3, 0] == 0.0 and images[1, 3, 4, 0] == 1.0
    assert images.min() >= 0.0 and images.max() <= 1.0 and not label.any()


@pytest.mark.parametrize("share, refused", [(0.039, True), (0.041, False)])
def test_a_few_voxels_must_not_leave_the_others_without_contrast(tmp_path, share, refused):
    case = tiny_case()
    for array in case.images.values():
        array[:] = np.random.default_rng(0).integers(0, 2, SHAPE)
        array[0, 0, :2] = 0, round(1 / share)
    subject = one_subject(tmp_path, case)
    sentence = r"MR_T1\.\S+ ranges from 0 to 26, but 99 % of its"
    with pytest.raises(UserError, match=sentence) if refused else nullcontext():
        prepare_subject(subject, TINY, "brats2015")


def test_downsampling_averages_images_and_votes_on_labels(tmp_path):
    case = tiny_case(3)
    case.label[1, 2:4, 1:7] = [[4, 4, 1, 2, 0, 2], [4, 0, 1, 2, 3, 3]]
    config = replace(TINY, downsample=2)
    subject = one_subject(tmp_path, case)
    images, label, *_ = prepare_subject(subject, config, "brats2015")
    full, *_ = prepare_subject(subject, TINY, "brats2015")
    assert images.shape == (4, *output_size(config), 4) and label.shape == (4, 4, 4)
    assert images.dtype == np.float32 and label.dtype == np.uint8
    np.testing.assert_allclose(images[2, 1, 3], full[2, 2:4, 6:8].mean(axis=(0, 1)), rtol=1e-6)
    assert label[0, 0, :3].tolist() == [4, 1, 3]  # clear, tie of 1 and 2, clear


def test_a_constant_volume_and_a_foreign_label_outside_the_crop_are_refused(tmp_path):
    case = tiny_case()
    case.images["T1c"][:] = 7
    with pytest.raises(UserError, match=r"MR_T1c\.\d+\.mha is constant \(every voxel is 7\)"):
        prepare_subject(one_subject(tmp_path / "constant", case), TINY, "brats2015")
    case = tiny_case()
    case.label[0, 0, 0] = 9
    with pytest.raises(UserError, match="values 9"):
        prepare_subject(one_subject(tmp_path / "foreign", case), TINY, "brats2015")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 12, 10),
            r"has 1 slices, and only 1 slices of --slicing\.slices \(1, 5\), counted",
        ),
        ((6, 3, 10), r"has 3 rows, and only .* --slicing.frame=\[6,3,10\]"),
        ((6, 12, 3), r"has 3 columns, and only "),
    ],
)
def test_a_volume_smaller_than_the_crop(tmp_path, shape, message):
    with pytest.raises(UserError, match=message):
        prepare_subject(one_subject(tmp_path, tiny_case(0, shape)), TINY, "brats2015")


def test_a_label_on_another_grid(tmp_path):
    case = tiny_case()
    subject = one_subject(tmp_path, case)
    write_volume(subject.label, case.label, spacing=(1.0, 1.0, 2.0))
    with pytest.raises(UserError, match="spacing"):
        prepare_subject(subject, TINY, "brats2015")


def test_a_case_stored_the_other_way_round_gives_the_same_slices(tmp_path):
    case = tiny_case(5)
    plain = prepare_subject(one_subject(tmp_path / "plain", case), TINY, "brats2015")
    subject = one_subject(tmp_path / "turned", case)
    for name, path in subject.images.items():  # the label stays as it was
        flipped = case.images[name][:, ::-1, ::-1]
        write_volume(path, flipped, origin=(9, 11, 0), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    turned = prepare_subject(subject, TINY, "brats2015")
    assert turned.place == plain.place
    for expected, found in zip(plain[:3], turned):
        np.testing.assert_array_equal(expected, found)


def test_voxels_of_another_size_are_refused(tmp_path):
    case = tiny_case()
    subject = one_subject(tmp_path, case)
    for path in (*subject.images.values(), subject.label):
        write_volume(path, case.label, spacing=(1.0, 1.0, 2.0))
    with pytest.raises(UserError, match=r"OT\.\d+\.mha must .* found 1 x 1 x 2 mm; resample"):
        prepare_subject(subject, TINY, "brats2015")


# TC-MGAN's settings for voxels of 1 mm in 240x240x155, and the same idea for the tiny cases.
PAPER = SliceConfig((0, 155), (0, 240), (0, 240), 1, None, 2000, 128, "slice_maximum")
SMALL = SliceConfig((0, 6), (1, 11), (0, 10), 1, None, 20, 6, "slice_maximum", SHAPE)


def brain_case(seed: int = 4) -> Case:
    """Slice i has 21 non-zero pixels in the crop of SMALL, slice 2 one less in T1c only."""
    case = tiny_case(seed)
    for array in case.images.values():
        array += 1
        array[:, 4:] = 0
        array[:, 1:4, 7:] = 0  # 3 rows of 7, and row 0, which lies outside the crop
    case.images["T1c"][2, 1, 0] = 0
    return case


def test_slices_need_more_brain_than_the_threshold_in_every_modality(tmp_path):
    assert output_size(PAPER) == (128, 128) and pixel_size(PAPER) == 1.875
    assert voxel_size(PAPER) == (1, 1.875, 1.875)  # slices are not downsampled
    subject = one_subject(tmp_path, brain_case())
    for threshold, kept in ((0, 6), (19, 6), (20, 5)):
        config = replace(SMALL, min_brain_pixels=threshold)
        images, label, axial, *_ = prepare_subject(subject, config, "brats2015")
        assert len(images) == len(label) == kept
        assert axial.tolist() == [i for i in range(6) if kept == 6 or i != 2]
    images, _, axial, *_ = prepare_subject(subject, replace(SMALL, slices=(1, 4)), "brats2015")
    whole, *_ = prepare_subject(subject, SMALL, "brats2015")
    assert axial.tolist() == [1, 3] and np.array_equal(images, whole[1:3])
    with pytest.raises(UserError, match=r"pat0001_1 has no slice in \(0, 6\) with more than 21"):
        prepare_subject(subject, replace(SMALL, min_brain_pixels=21), "brats2015")


def test_slices_are_divided_by_their_own_maximum_after_the_resizing(tmp_path):
    case = brain_case()
    images, label, *_ = prepare_subject(one_subject(tmp_path, case), SMALL, "brats2015")
    assert images.shape == (5, 6, 6, 4) and images.dtype == np.float32 and label.dtype == np.uint8
    for position, axial in enumerate((0, 1, 3, 4, 5)):
        for index, name in enumerate(MODALITIES):
            frame = case.images[name][axial, 1:11]
            integers = cv2.resize(frame, (6, 6), interpolation=cv2.INTER_AREA)
            assert integers.dtype == np.int16
            expected = integers / integers.max()
            np.testing.assert_allclose(images[position, ..., index], expected, atol=1e-7)
    assert (images.max(axis=(1, 2)) == 1).all()


def test_a_slice_of_zeros_stays_zero_and_negative_voxels_are_refused(tmp_path):
    case = brain_case()
    case.images["T1"][3] = 0
    config = replace(SMALL, min_brain_pixels=0)
    images, *_ = prepare_subject(one_subject(tmp_path / "zero", case), config, "brats2015")
    assert not images[3, ..., 0].any() and images[3, ..., 1].max() == 1
    case.images["T2"][0, 0, 0] = -5  # outside the crop
    with pytest.raises(
        UserError, match=r"MR_T2.*no voxel below 0 for --slicing.scaling .* -5; shift"
    ):
        prepare_subject(one_subject(tmp_path / "negative", case), config, "brats2015")


def test_resizing_goes_with_the_range_of_the_volume_and_the_maximum_with_downsampling(tmp_path):
    case = brain_case()
    subject = one_subject(tmp_path, case)
    config = replace(SMALL, scaling="minmax", resize=5)  # blocks of 2x2
    images, *_ = prepare_subject(subject, config, "brats2015")
    halved, *_ = prepare_subject(subject, replace(config, resize=None, downsample=2), "brats2015")
    np.testing.assert_allclose(images, halved, atol=1e-6)
    config = replace(SMALL, resize=None, downsample=2)
    images, *_ = prepare_subject(subject, config, "brats2015")
    blocks = case.images["T2"][0, 1:11].reshape(5, 2, 5, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(images[0, ..., 1], blocks / blocks.max(), atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"downsample": 2}, r"--slicing.resize 6 excludes --slicing.downsample 2"),
        ({"rows": (0, 8)}, "square crop .* found 6 for 8 rows and 10 columns"),
        ({"resize": 11}, "up to the crop's, found 11"),
        ({"resize": 0}, "found 0"),
        ({"min_brain_pixels": -1}, "--slicing.min_brain_pixels must be 0 or more .* found -1"),
        ({"min_brain_pixels": 100}, "less than the 100 pixels of a crop, found 100"),
        (
            {"scaling": "slice"},
            "--slicing.scaling is 'slice'; give one of minmax, percentile, slice_max",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"slices": (5, 5)}, "slices"),
        ({"rows": (-1, 7)}, "rows"),
        ({"columns": (9, 1)}, "columns"),
        ({"downsample": 0}, "downsample"),
        ({"downsample": 3}, "downsample"),
    ],
)
def test_an_impossible_configuration_names_the_option(change, option):
    with pytest.raises(UserError, match=rf"--slicing\.{option}"):
        replace(TINY, **change)
