"""Random lesions: inside of the brain, of the sizes that are told, with nested parts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from data.random_lesions import OEDEMA, RADII, random_lesion
from utils.errors import UserError


def brain(*shape: int) -> np.ndarray:
    places = np.indices(shape)
    centre = np.reshape(shape, [-1] + [1] * len(shape)) / 2
    return (((places - centre) / (0.45 * 2 * centre)) ** 2).sum(axis=0) < 1


@pytest.mark.parametrize("shape", [(96, 72), (30, 48, 40)])
def test_lesions_lie_in_the_brain_and_differ(shape):
    inside, spacing = brain(*shape), [2.0] * len(shape)
    lesions = [random_lesion(inside, np.random.default_rng(k), spacing) for k in range(12)]
    for lesion in lesions:
        assert lesion.dtype == np.uint8 and lesion.shape == shape and lesion.any()
        assert not lesion[~inside].any() and lesion.max() <= 4
        # No part lies bare: around the core is oedema, or the brain ends.
        core = (lesion > 0) & (lesion != OEDEMA)
        rim = ndimage.binary_dilation(core) & ~core & inside
        assert (lesion[rim] == OEDEMA).mean() > 0.9
    assert len({lesion.tobytes() for lesion in lesions}) == 12
    assert set(np.unique(lesions)) == {0, 1, 2, 3, 4}
    same = random_lesion(inside, np.random.default_rng(3), spacing)
    np.testing.assert_array_equal(same, lesions[3])


def test_sizes_are_millimetres():
    inside = np.ones((300, 300), bool)
    areas = {
        side: np.mean(
            [
                (random_lesion(inside, np.random.default_rng(k), [side] * 2) > 0).sum() * side**2
                for k in range(30)
            ]
        )
        for side in (1.0, 2.0)
    }
    smallest, largest = (np.pi * radius**2 for radius in RADII)
    assert smallest < areas[1.0] < largest
    assert areas[1.0] == pytest.approx(areas[2.0], rel=0.25)


def test_even_a_few_pixels_of_brain_get_a_lesion():
    inside = np.zeros((20, 20), bool)
    inside[5:7, 5:7] = True
    assert random_lesion(inside, np.random.default_rng(0)).any()
    with pytest.raises(UserError, match="no brain to draw a lesion in"):
        random_lesion(np.zeros((5, 5), bool), np.random.default_rng(0))
