"""Changes of a lesion by hand, and what holds for 500 random maps."""

from __future__ import annotations

import numpy as np
import pytest

from data.manipulation import (
    changed,
    combined,
    deformed,
    mirrored,
    moved,
    random_change,
    replaced,
    resized,
    turned,
)
from utils.errors import UserError

MAP = np.array(
    [
        [0, 1, 1, 1, 1, 1, 0, 0],
        [0, 1, 2, 3, 1, 1, 1, 0],
        [0, 1, 2, 4, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 1, 0, 0],
    ]
)
HEALTHY = np.minimum(MAP, 1)


def test_mirrored_about_the_brains_middle():
    expected = HEALTHY.copy()
    expected[1:3, 4:6] = [[3, 2], [4, 2]]  # columns 1..6: 2 <-> 5, 3 <-> 4
    np.testing.assert_array_equal(mirrored(MAP), expected)


def test_moved_and_cut_off_by_the_brain():
    expected = HEALTHY.copy()
    expected[0:2, 3:5] = [[2, 3], [2, 4]]
    np.testing.assert_array_equal(moved(MAP, (-1, 1)), expected)
    expected = HEALTHY.copy()
    expected[1:3, 6] = [2, 2]
    np.testing.assert_array_equal(moved(MAP, (0, 4)), expected)


def test_replaced_and_combined():
    donor = HEALTHY.copy()
    donor[0, 4:7] = [1, 4, 4]  # the last one lies outside of this brain
    donor[1, 3:5] = 2
    expected = HEALTHY.copy()
    expected[0, 5], expected[1, 3:5] = 4, 2
    np.testing.assert_array_equal(replaced(MAP, donor), expected)
    expected[1, 2], expected[2, 2:4] = 2, [2, 4]
    np.testing.assert_array_equal(combined(MAP, donor), expected)


def disc(radius: float, size: int = 64) -> np.ndarray:
    rows, columns = np.indices((size, size)) - size / 2 + 0.5
    distance = np.hypot(rows, columns)
    label = np.where(distance < radius, 2, 1) + (distance < radius / 2) * 2
    return np.where(distance < size / 2 - 1, label, 0)


def test_a_resized_disc_is_a_disc_of_that_area():
    np.testing.assert_array_equal(resized(disc(8), 1.0), disc(8))
    grown = resized(disc(8), 2.0)
    assert (grown > 1).sum() == 2 * (disc(8) > 1).sum()
    rows, columns = np.nonzero((grown > 1) != (disc(8 * np.sqrt(2)) > 1))
    assert np.abs(np.hypot(rows - 31.5, columns - 31.5) - 8 * np.sqrt(2)).max(initial=0) < 1
    assert (grown == 4).sum() == pytest.approx(2 * (disc(8) == 4).sum(), rel=0.1)


def test_a_tumour_that_shrinks_leaves_the_oedema_around_it():
    label = resized(disc(10), 0.5, parts=[4])
    assert set(np.unique(label)) == {0, 1, 2, 4}
    assert (label == 4).sum() == round(0.5 * (disc(10) == 4).sum())
    np.testing.assert_array_equal(label > 1, disc(10) > 1)
    grown = resized(disc(10), 1.8, parts=[4])
    assert (grown == 4).sum() == round(1.8 * (disc(10) == 4).sum())
    np.testing.assert_array_equal(grown > 1, disc(10) > 1)


def random_map(rng: np.random.Generator, size: tuple = (48, 40)) -> np.ndarray:
    """A brain with a lesion of three parts somewhere in it."""
    places = np.indices(size) - np.reshape(size, [-1] + [1] * len(size)) / 2
    radii = np.reshape(size, [-1] + [1] * len(size)) * rng.uniform(0.35, 0.48)
    brain = (places / radii) ** 2
    brain = brain.sum(0) < 1
    centre = rng.permutation(np.argwhere(brain))[0]
    distance = np.sqrt(
        ((np.indices(size) - centre.reshape([-1] + [1] * len(size))) ** 2).sum(0)
    ) * np.exp(0.3 * rng.standard_normal())
    radius = rng.uniform(1.5, 9)
    lesion = np.digitize(distance, [radius / 3, radius / 2, radius])
    label = np.choose(lesion, [3, 4, 2, 1])
    return np.where(brain, label, 0)


def check(old: np.ndarray, new: np.ndarray) -> None:
    np.testing.assert_array_equal(new == 0, old == 0)
    assert (new >= 2).any() and new.max() <= 4 and new.dtype == old.dtype


def test_500_random_maps_stay_in_the_brain_and_keep_a_lesion():
    rng, clipped = np.random.default_rng(0), 0
    maps = [random_map(rng) for _ in range(500)]
    for number, label in enumerate(maps):
        donors = [maps[number - 1], maps[number - 2]]
        change = random_change(label, donors, np.random.default_rng(number))
        check(label, change.label)
        again = random_change(label, donors, np.random.default_rng(number))
        np.testing.assert_array_equal(again.label, change.label)
        assert again.words == change.words and again.donor == change.donor
        given = [int(w.split(":")[1]) for w in change.words.split(",") if w[:3] in ("rep", "com")]
        assert change.donor == (given[0] if given else None)
        factor = rng.uniform(0.5, 2)
        new = resized(label, factor)
        check(label, new)
        area, wanted = (new >= 2).sum(), factor * (label >= 2).sum()
        roomy = np.where(label == 0, 1, label)  # nothing is cut off where all is brain
        whole = (resized(roomy, factor) >= 2).sum()
        clipped += area < whole
        assert whole == pytest.approx(wanted, rel=0.05, abs=0.5) and area <= whole
        mirror = mirrored(label)
        check(label, mirror)
    assert 0 < clipped < 400


def test_volumes_change_in_the_same_way():
    label = random_map(np.random.default_rng(3), (24, 32, 28))
    new = resized(np.where(label == 0, 1, label), 1.7)
    assert (new >= 2).sum() == round(1.7 * (label >= 2).sum())
    check(label, changed(label, "mirror,shrink:0.6,move:1:-2:2"))


def test_changes_in_words():
    np.testing.assert_array_equal(changed(MAP, "mirror"), mirrored(MAP))
    expected = moved(resized(mirrored(disc(6)), 1.5), (10, -4))
    np.testing.assert_array_equal(changed(disc(6), "mirror, grow:1.5,move:10:-4"), expected)
    np.testing.assert_array_equal(changed(disc(6), "move:3"), moved(disc(6), (0, 3)))
    donors = {"a:b": disc(3)}
    np.testing.assert_array_equal(changed(disc(6), "donor:a:b", donors.get), disc(3))


# Two tissues, 1 and 2, and a lesion from 3 on.
TISSUES = np.array([[0, 1, 1, 1, 2, 2, 2, 0], [0, 1, 3, 4, 2, 2, 2, 0]])


def test_a_lesion_leaves_the_last_tissue_behind():
    expected = [[0, 1, 1, 1, 2, 2, 2, 0], [0, 1, 2, 2, 4, 3, 2, 0]]
    np.testing.assert_array_equal(mirrored(TISSUES, 3), expected)
    expected = [[0, 1, 3, 4, 2, 2, 2, 0], [0, 1, 2, 2, 2, 2, 2, 0]]
    np.testing.assert_array_equal(moved(TISSUES, (-1, 0), 3), expected)
    donor = np.where(TISSUES > 2, 2, TISSUES)
    donor[0, 5] = 4
    expected = [[0, 1, 1, 1, 2, 4, 2, 0], [0, 1, 2, 2, 2, 2, 2, 0]]
    np.testing.assert_array_equal(replaced(TISSUES, donor, 3), expected)
    expected[1][2:4] = [3, 4]
    np.testing.assert_array_equal(combined(TISSUES, donor, 3), expected)
    np.testing.assert_array_equal(changed(TISSUES, "mirror", None, 3), mirrored(TISSUES, 3))
    with pytest.raises(UserError, match="no lesion, whose labels are 3 and more"):
        mirrored(np.minimum(TISSUES, 2), 3)


def test_what_shrinks_leaves_the_tissue_beside_it():
    label = np.array([[0, 1, 1, 1, 3, 3, 3, 2, 0]])
    np.testing.assert_array_equal(
        resized(label, 1 / 3, first_lesion=3), [[0, 1, 1, 1, 1, 3, 2, 2, 0]]
    )
    alone = np.array([[0, 0, 3, 3, 3, 0, 0]])  # there is no tissue to take
    np.testing.assert_array_equal(resized(alone, 1 / 3, first_lesion=3), [[0, 0, 2, 3, 2, 0, 0]])


@pytest.mark.parametrize(
    "words",
    ["turn", "grow", "grow:0.5", "shrink:2", "move:1:2:3", "move:a:b", "grow:inf", "donor:x"],
)
def test_words_that_are_no_change_are_refused(words):
    with pytest.raises(UserError, match=f"'{words}' is no change of a lesion; give mirror, grow"):
        changed(MAP, words)


def test_what_would_leave_no_lesion_is_refused():
    with pytest.raises(UserError, match="leaves nothing of the lesion inside of the brain"):
        moved(MAP, (0, 6))
    with pytest.raises(UserError, match="no lesion, whose labels are 2 and more"):
        mirrored(HEALTHY)
    with pytest.raises(UserError, match="none of the labels 7, whose size"):
        resized(MAP, 2.0, parts=[7])
    with pytest.raises(UserError, match="donor's label map has .* give one of the same size"):
        replaced(MAP, MAP[:, :4])
    with pytest.raises(UserError, match="20 random changes left no lesion inside"):
        random_change(HEALTHY, [], np.random.default_rng(0))


LINE = np.ones((5, 5), int)
LINE[2, 2:5] = [2, 3, 4]  # about the column of 3


def test_turned_about_the_lesions_middle():
    expected = np.ones((5, 5), int)
    expected[1:4, 3] = [4, 3, 2]  # rows turn towards columns: the right end goes up
    np.testing.assert_array_equal(turned(LINE, [90]), expected)
    np.testing.assert_array_equal(turned(LINE, [0]), LINE)
    np.testing.assert_array_equal(turned(turned(LINE, [90]), [-90]), LINE)
    cut = LINE.copy()
    cut[1] = 0  # the brain ends there
    expected[1] = 0
    np.testing.assert_array_equal(turned(cut, [90]), expected)


@pytest.mark.parametrize("plane, axis", [(0, None), (1, 0), (2, 1)])
def test_each_angle_turns_two_axes_of_a_volume(plane, axis):
    label = np.ones((5, 5, 5), int)
    label[2, 2, 1:4] = [2, 3, 4]
    expected = label
    if axis is not None:  # what lay along the width lies along `axis`, its end first
        expected = np.ones((5, 5, 5), int)
        np.moveaxis(expected, axis, -1)[2, 2, 1:4] = [4, 3, 2]
    np.testing.assert_array_equal(turned(label, np.eye(3)[plane] * 90), expected)


def test_turns_are_those_of_millimetres():
    label = np.ones((9, 9), int)
    label[4, 2:7] = 2  # 2 mm x 5 mm
    rows, columns = np.nonzero(turned(label, [90], spacing=(2, 1)) == 2)
    assert set(rows) == {3, 4, 5} and len(rows) == 3 * len(set(columns))
    assert 2 <= len(set(columns)) <= 3 and 4 in columns


def test_a_deformation_moves_no_further_than_its_amplitude():
    label, changes = disc(12), []
    for seed in range(20):
        new = deformed(label, 3.0, 6.0, np.random.default_rng(seed))
        again = deformed(label, 3.0, 6.0, np.random.default_rng(seed))
        np.testing.assert_array_equal(new, again)
        check(label, new)
        rows, columns = np.nonzero((new > 1) != (label > 1))
        far = np.abs(np.hypot(rows - 31.5, columns - 31.5) - 12)
        assert far.max() < 3 + 1.5  # and the rounding to pixels
        changes.append(len(rows))
    assert min(changes) > 0 and len(set(changes)) > 5
    np.testing.assert_array_equal(deformed(label, 0.0, 6.0, np.random.default_rng(0)), label)


def test_the_amplitude_is_in_millimetres():
    label = disc(12)
    new = deformed(label, 3.0, 6.0, np.random.default_rng(1), spacing=(8, 8))
    np.testing.assert_array_equal(new, label)  # less than half a pixel


def test_turns_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="degrees are 1 angles, but a map with 3 axes has 3 planes"):
        turned(np.full((3, 3, 3), 2), [90])
    for change in (lambda: turned(HEALTHY, [9]), lambda: deformed(HEALTHY, 3.0, 6.0, None)):
        with pytest.raises(UserError, match="no lesion, whose labels are 2 and more"):
            change()
