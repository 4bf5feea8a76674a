from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.brats.names import MODALITIES
from data.brats.preparation import prepare_subject
from data.brats.slices import SliceConfig
from data.brats.windows import axial_range, check_crop, cut, put_back, window
from data.synthetic_sets.export import Case as ExportCase
from data.synthetic_sets.export import Grid
from tests.data.trees import SHAPE, TINY, Case, case_files, find_subjects, tiny_case, write_case
from utils.errors import UserError

GRIDS = {  # of the releases, and what is cut from them by default: first slice, row and column
    (155, 240, 240): (55, 38, 48),
    (182, 218, 182): (68, 27, 19),
    (189, 233, 197): (72, 34, 26),
    (256, 256, 256): (105, 46, 56),
    (193, 229, 193): (74, 32, 24),
}


@pytest.mark.parametrize("shape", GRIDS, ids=str)
def test_the_window_keeps_its_place_in_the_middle(shape):
    config = SliceConfig()
    (rows, columns), margins = window(shape, config)
    axial = axial_range(shape, config)
    assert (axial[0], rows.start, columns.start) == GRIDS[shape] and not np.any(margins)
    assert (len(axial), rows.stop - rows.start, columns.stop - columns.start) == (50, 184, 144)
    check_crop("case", shape, config)


def test_what_a_smaller_volume_lacks_is_filled_and_dropped_again():
    config = replace(TINY, rows=(0, 12), columns=(0, 10))
    array = np.arange(6 * 8 * 7).reshape(6, 8, 7)
    crops = cut(array, np.arange(6), config, fill=-1)
    assert crops.shape == (6, 12, 10)
    np.testing.assert_array_equal(crops[:, 2:10, 2:9], array)  # (8 - 12) // 2, (7 - 10) // 2
    assert (np.delete(crops, np.s_[2:10], axis=1) == -1).all()
    back = np.zeros_like(array)
    put_back(crops, np.arange(6), back, config)
    np.testing.assert_array_equal(back, array)


def around(case: Case, before: tuple[int, int, int], behind: tuple[int, int, int]) -> Case:
    """The case in a larger volume of zeros."""
    margins = tuple(zip(before, behind))
    images = {name: np.pad(array, margins) for name, array in case.images.items()}
    return Case(images, np.pad(case.label, margins))


def dark_case() -> Case:
    case = tiny_case(3)
    for array in case.images.values():
        array[0, 0, 0] = 0  # the minimum, with or without margins
    return case


@pytest.mark.parametrize("before, behind", [((0, 0, 0), (1, 1, 1)), ((4, 3, 2), (4, 3, 2))])
def test_other_grids_give_the_same_slices_and_places(tmp_path, before, behind):
    first, second = tmp_path / "first", tmp_path / "second"
    write_case(case_files(first, "flat2015"), dark_case())
    write_case(case_files(second, "flat2015"), around(dark_case(), before, behind))
    plain, other = (
        prepare_subject(find_subjects(root)[0], TINY, "brats2015") for root in (first, second)
    )
    np.testing.assert_array_equal(other.images, plain.images)
    np.testing.assert_array_equal(other.label, plain.label)
    np.testing.assert_array_equal(other.index, plain.index)  # the same heights
    # An export puts the first pixel where it is in the volume: `before` voxels further.
    origins = [
        Grid.of(TINY).origin(
            ExportCase("a", s.images, s.label, (), int(s.index[0]), "p", place=s.place)
        )
        for s in (plain, other)
    ]
    np.testing.assert_allclose(np.subtract(*origins[::-1]), before[::-1])


def test_the_advice_of_a_volume_that_is_too_small_is_followed(tmp_path):
    case = tiny_case(1)
    images = {name: array[:1, :3, :3] for name, array in case.images.items()}
    write_case(case_files(tmp_path, "flat2015"), Case(images, case.label[:1, :3, :3]))
    (subject,) = find_subjects(tmp_path)
    with pytest.raises(UserError, match=r"give --slicing.slices within 0 1 with --slicing.frame="):
        prepare_subject(subject, TINY, "brats2015")
    config = SliceConfig((0, 1), (0, 3), (0, 3), frame=(1, 3, 3))
    assert prepare_subject(subject, config, "brats2015").images.shape == (1, 3, 3, len(MODALITIES))
    assert SHAPE == TINY.frame
