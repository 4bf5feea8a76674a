from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.brats.names import MODALITIES
from data.brats.preparation import prepare_subject
from data.brats.slices import SliceConfig
from data.brats.translation import FULL_SCALE, predicted_volume, source_slices
from tests.data.trees import Case, case_files, find_subjects, write_case
from utils.errors import UserError

# Training took slices 2..4 of a crop that is off the centre; a prediction takes what has brain.
CONFIG = SliceConfig((2, 5), (2, 18), (3, 19), 1, None, 30, 8, "slice_maximum", (6, 20, 22))
SOURCE = Path("t2.nii.gz")


def head(seed: int = 0) -> np.ndarray:
    """T2 [6,20,22] int16: an 8x12 brain in slices 1..4, four pixels in slice 5, none in 0."""
    volume = np.zeros((6, 20, 22), np.int16)
    volume[1:5, 6:14, 5:17] = np.random.default_rng(seed).integers(200, 900, (4, 8, 12))
    volume[5, 6:8, 5:7] = 7
    return volume


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, scaling="minmax", resize=None, downsample=2)]
)
def test_slices_are_those_of_training(tmp_path, config):
    volume = head()
    case = Case({name: volume for name in MODALITIES}, np.zeros(volume.shape, np.uint8))
    write_case(case_files(tmp_path, "flat2015"), case)
    expected, _, numbers, *_ = prepare_subject(find_subjects(tmp_path)[0], config, "brats2015")
    images, axial = source_slices(volume, config, SOURCE)
    assert images.shape == (4, 8, 8) and images.dtype == np.float32
    assert axial.tolist() == [1, 2, 3, 4] and numbers.tolist() == [2, 3, 4]
    np.testing.assert_allclose(images[1:], expected[..., MODALITIES.index("T2")], atol=1e-7)


def test_constants_come_back_in_thousandths_inside_the_brain_only():
    volume = head()
    volume[2, 8, 8] = 0  # a hole
    images, axial = source_slices(volume, CONFIG, SOURCE)
    predicted = np.full_like(images, 0.25)
    predicted[0], predicted[3] = 1.5, -0.5  # clipped
    found = predicted_volume(predicted, axial, volume, CONFIG)
    assert found.shape == volume.shape and found.dtype == np.int16 and FULL_SCALE == 1000
    expected = np.zeros(volume.shape)
    expected[1:5, 6:14, 5:17] = np.array([1000, 250, 250, 0])[:, None, None]
    expected[2, 8, 8] = 0
    np.testing.assert_array_equal(found, expected)  # slices 0 and 5 are 0


def test_a_slice_comes_back_in_its_place():
    volume = np.zeros((3, 22, 24), np.int16)
    rows, columns = np.mgrid[:20, :20]
    volume[1, 1:21, 3:23] = 100 + 20 * rows + 10 * columns
    crop = {"slices": (0, 3), "rows": (1, 21), "columns": (3, 23), "frame": volume.shape}
    config = replace(CONFIG, **crop, resize=10)
    images, axial = source_slices(volume, config, SOURCE)
    found = predicted_volume(images, axial, volume, config)
    # Plane in, plane out, in shares of the largest 2x2 mean; borders repeat the outermost pixel.
    largest = np.rint(volume[1, 19:21, 21:23].mean())
    expected = volume[1, 2:20, 4:22] * (1000 / largest)
    np.testing.assert_allclose(found[1, 2:20, 4:22], expected, atol=1.5)
    assert not found[[0, 2]].any() and not found[1, :, :3].any()


def test_a_volume_that_does_not_fit_the_training_is_refused():
    aside = np.pad(head(), ((0, 0), (0, 0), (16, 0)))
    for volume, message in (
        (head()[:, :7], "t2.nii.gz must have 8 rows and 8 columns or more .* found 7 and 16;"),
        (head()[..., :6], "found 16 and 6; resample it to the grid of BraTS"),
        (head() // 900, "has no axial slice with more than 30"),
        (head() - 1, "is not skull-stripped or lies elsewhere"),
        (aside, r"0 outside rows \(2, 18\) and columns \(11, 27\), found 192 other voxels"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            source_slices(volume, CONFIG, SOURCE)
        assert "--" not in str(caught.value)
    negative = head()
    negative[1, 7, 7] = -3
    with pytest.raises(UserError, match="no voxel below 0, found -3; shift its intensities"):
        source_slices(negative, CONFIG, SOURCE)


@pytest.mark.parametrize("margins", [((1, 2), (3, 3), (4, 5)), ((0, 0), (-2, -2), (-4, -3))])
def test_a_volume_of_another_grid_lies_in_the_middle_of_the_frame(margins):
    """Larger and smaller grids with the same centre give the slices of the run's own."""
    expected, _ = source_slices(head(), CONFIG, SOURCE)
    volume = np.pad(head(), [(max(a, 0), max(b, 0)) for a, b in margins])
    rows, columns = (
        slice(max(-a, 0), side - max(-b, 0)) for side, (a, b) in zip((20, 22), margins[1:])
    )
    volume = volume if margins[1][0] > 0 else head()[:, rows, columns]
    images, axial = source_slices(volume, CONFIG, SOURCE)
    np.testing.assert_array_equal(images, expected)
    assert axial.tolist() == [margins[0][0] + i for i in (1, 2, 3, 4)]
    back = predicted_volume(images, axial, volume, CONFIG)
    whole = predicted_volume(expected, [1, 2, 3, 4], head(), CONFIG)
    assert back.shape == volume.shape and back.sum() == whole.sum() > 0


def test_a_crop_of_the_whole_frame_needs_a_background_of_0():
    config = replace(CONFIG, rows=(0, 20), columns=(0, 22), resize=None)
    assert len(source_slices(head(), config, SOURCE)[1]) == 4
    for place in ((2, 0, 9), (2, 19, 9), (2, 9, 0), (2, 9, 21)):
        volume = head()
        volume[place] = 1
        with pytest.raises(UserError, match="is not skull-stripped"):
            source_slices(volume, config, SOURCE)


def test_without_a_threshold_empty_slices_take_part_and_an_empty_volume_does_not():
    config = replace(CONFIG, min_brain_pixels=0)
    images, axial = source_slices(head(), config, SOURCE)
    assert axial.tolist() == list(range(6)) and not images[0].any()
    with pytest.raises(UserError, match="no axial slice"):
        source_slices(np.zeros_like(head()), config, SOURCE)
