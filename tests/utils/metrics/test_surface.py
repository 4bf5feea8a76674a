"""HD95 against distances worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.surface import Hausdorff95, hausdorff95, hausdorff95_batch


def mask(shape: tuple, *boxes: tuple) -> np.ndarray:
    found = np.zeros(shape, bool)
    for box in boxes:
        found[box] = True
    return found


def test_single_pixels_are_measured_in_millimetres():
    first, second = mask((5, 8), (2, 2)), mask((5, 8), (2, 5))
    assert hausdorff95(first, second, (2, 2)) == 6
    assert hausdorff95(first, second, (7, 1)) == 3  # columns are the second axis
    assert hausdorff95(first.T, second.T, (7, 1)) == 21
    diagonal = mask((5, 8), (4, 6))
    assert hausdorff95(first, diagonal, (1.5, 1)) == pytest.approx(5)  # 3 and 4 mm
    assert hausdorff95(first, first, (2, 2)) == 0


def test_volumes_have_three_spacings():
    first, second = mask((4, 4, 4), (0, 0, 0)), mask((4, 4, 4), (1, 2, 3))
    expected = np.sqrt((1 * 5) ** 2 + (2 * 1) ** 2 + (3 * 0.5) ** 2)
    assert hausdorff95(first, second, (5, 1, 0.5)) == pytest.approx(expected)


def test_shifted_squares_are_as_far_apart_as_their_shift():
    first, second = mask((12, 16), np.s_[3:8, 3:8]), mask((12, 16), np.s_[3:8, 5:10])
    # 16 border pixels each; 6 of them lie 2 columns from the other's border, the others nearer.
    assert hausdorff95(first, second, (1, 1)) == 2
    assert hausdorff95(second, first, (9, 1.5)) == 3


def test_both_directions_are_pooled_before_the_percentile():
    line = mask((3, 60), np.s_[1, :])  # thin: all 60 pixels are border
    point = mask((3, 60), (1, 0))
    # Distances 0..59 one way and 0 the other. The larger of the directed percentiles is 56.05.
    expected = np.percentile([*range(60), 0], 95)
    assert hausdorff95(line, point, (1, 1)) == pytest.approx(expected) == pytest.approx(56)


def test_only_borders_count():
    full = mask((9, 9), np.s_[:, :])  # cut by the image's edge: a border all the same
    hollow = full.copy()
    hollow[1:-1, 1:-1] = False
    assert hausdorff95(full, hollow, (1, 1)) == 0


def test_empty_masks_are_counted_apart():
    empty, point, other = mask((4, 6)), mask((4, 6), (1, 1)), mask((4, 6), (1, 4))
    assert hausdorff95(empty, empty, (1, 1)) == 0
    assert np.isnan(hausdorff95(empty, point, (1, 1)))
    assert np.isnan(hausdorff95(point, empty, (1, 1)))
    predictions = np.stack([point, empty, empty, point, point])
    references = np.stack([other, empty, point, empty, point])
    found = hausdorff95_batch(predictions, references, (1, 2))
    assert found == Hausdorff95(mean=pytest.approx(6 / 3), measured=3, both_empty=1, one_empty=2)
    assert np.isnan(hausdorff95_batch(predictions[2:4], references[2:4], (1, 2)).mean)


@pytest.mark.parametrize("spacing", [(1,), (1, 1, 1), (1, 0), (1, -1), (1, np.nan), 1.0])
def test_spacing_is_one_positive_number_per_axis(spacing):
    point = mask((4, 4), (1, 1))
    with pytest.raises(UserError, match="each of the 2 axes"):
        hausdorff95(point, point, spacing)


def test_foreign_shapes_are_refused():
    for shapes in (((4, 4), (4, 5)), ((4,), (4,)), ((1, 2, 3, 4), (1, 2, 3, 4))):
        with pytest.raises(UserError, match="of one shape"):
            hausdorff95(*(mask(shape) for shape in shapes), (1, 1))
    with pytest.raises(UserError, match="same cases"):
        hausdorff95_batch(mask((2, 4, 4)), mask((3, 4, 4)), (1, 1))
