"""Volumes by hand, by brute force, and against scikit-learn and DeepMind's surface-distance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import surface_distance
from scipy import ndimage
from sklearn.metrics import f1_score

from tests.utils.metrics.test_surface import mask
from utils.errors import UserError
from utils.metrics.surface import hausdorff95
from utils.metrics.volumes import (
    FIGURES,
    PENALTY,
    lesionwise_score,
    mask_scores,
    volume_scores,
)

SHAPE = (12, 40, 40)
ONES = (1, 1, 1)
BIG = np.s_[2:8, 2:8, 2:8]  # 216 voxels
FAR = np.s_[2:8, 24:30, 24:30]


def score(found: tuple, true: tuple, spacing=ONES) -> tuple:
    """The score of boxes; each argument is a tuple of them."""
    return tuple(lesionwise_score(mask(SHAPE, *found), mask(SHAPE, *true), spacing))


def test_a_found_lesion_has_its_own_dice_and_distance():
    assert score([BIG], [BIG]) == (1, 0)
    shifted = np.s_[2:8, 3:9, 2:8]  # 5 of 6 rows are common
    assert score([shifted], [BIG]) == (pytest.approx(5 / 6), 1)
    assert score([shifted], [BIG], (1, 2.5, 1)) == (pytest.approx(5 / 6), 2.5)


def test_a_missed_lesion_and_a_made_up_component_are_punished():
    assert score([BIG], [BIG, FAR]) == (0.5, PENALTY / 2)
    assert score([BIG, FAR], [BIG]) == (0.5, PENALTY / 2)
    assert score([], [BIG]) == score([BIG], []) == (0, PENALTY)
    point = np.s_[11:12, 39:40, 39:40]  # as much as a large one
    assert score([BIG, point], [BIG]) == (0.5, PENALTY / 2)
    assert score([FAR], [BIG]) == (0, PENALTY)  # missed and made up: two zeros


def test_nothing_to_count_is_perfect():
    assert score([], []) == (1, 0)


def test_near_parts_of_the_reference_are_one_lesion():
    def beside(gap: int) -> tuple:
        return np.s_[2:8, 8 + gap : 14 + gap, 2:8]

    # Dilated by 3 voxels each, parts with up to 6 between them touch.
    for gap, lesions in ((1, 1), (6, 1), (7, 2)):
        dice, distance = score([BIG], [BIG, beside(gap)])
        assert dice == pytest.approx(2 * 216 / (216 + 432) if lesions == 1 else 0.5)
        assert (distance == PENALTY / 2) == (lesions == 2)


def test_a_predicted_component_near_a_lesion_belongs_to_it():
    def point(row: int) -> tuple:
        return np.s_[2:3, row : row + 1, 2:3]

    near = score([BIG, point(10)], [BIG])  # 3 voxels from row 7
    assert near[0] == pytest.approx(2 * 216 / (216 + 217)) and near[1] < 5
    assert score([BIG, point(11)], [BIG]) == (0.5, PENALTY / 2)
    only_near = score([point(10)], [BIG])  # found, without a common voxel
    assert only_near[0] == 0 and only_near[1] < 15


def test_a_split_prediction_is_one_answer():
    halves = np.s_[2:8, 2:4, 2:8], np.s_[2:8, 6:8, 2:8]  # 72 voxels each
    assert score(halves, [BIG])[0] == pytest.approx(2 * 144 / (144 + 216))


def test_a_component_over_two_lesions_is_scored_with_each():
    both = np.s_[2:8, 2:8, 2:30]
    lesions = BIG, np.s_[2:8, 2:8, 24:30]
    expected = 2 * 216 / (6 * 6 * 28 + 216)
    assert score([both], lesions)[0] == pytest.approx(expected)


def test_corners_connect():
    corner = np.s_[8:12, 8:14, 8:14]  # touches BIG's corner (7, 7, 7)
    assert score([BIG, corner], [])[0] == 0
    first = score([BIG, corner, FAR], [FAR])
    assert first == (0.5, PENALTY / 2)  # a single component is made up
    # Dilation goes along at most two axes a step, so 3 steps reach (3, 3, 0) but not (3, 3, 3).
    for offset, joined in (((0, 3, 3), True), ((2, 2, 2), True), ((3, 3, 3), False)):
        point = tuple(slice(7 + step, 8 + step) for step in offset)
        assert (score([BIG, point], [BIG])[0] > 0.9) == joined


def test_small_lesions_do_not_count():
    fifty, more = np.s_[5:7, 30:35, 30:35], np.s_[4:7, 30:33, 30:36]  # 50 and 54 voxels
    assert score([BIG], [BIG, fifty]) == (1, 0)
    assert score([BIG], [BIG, more]) == (0.5, PENALTY / 2)
    assert score([], [fifty]) == (1, 0)
    assert score([BIG, fifty], [BIG, fifty]) == (1, 0)  # found: neither right nor wrong
    # A volume of 50 mm^3 is 25 voxels of 2 mm^3.
    assert score([BIG], [BIG, fifty], (2, 1, 1)) == (0.5, PENALTY / 2)
    assert score([BIG], [BIG, more], (1, 0.95, 0.95)) == (1, 0)


def test_the_dilation_is_in_millimetres():
    point = np.s_[2:3, 9:10, 2:3]  # two rows from BIG
    assert score([BIG, point], [BIG], ONES)[0] > 0.9
    assert score([BIG, point], [BIG], (1, 1.5, 1))[0] > 0.9
    assert score([BIG, point], [BIG], (1, 2, 1)) == (0.5, PENALTY / 2)  # 4 mm
    assert score([BIG, point], [BIG], (1, 10, 1)) == (0.5, PENALTY / 2)


def slow_lesionwise(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """The challenge's rules on voxels of 1 mm, step by step on whole volumes."""
    steps = ndimage.generate_binary_structure(3, 2)

    def parts(array: np.ndarray) -> list[np.ndarray]:
        left, found = {tuple(p) for p in np.argwhere(array)}, []
        while left:
            todo, part = [left.pop()], np.zeros(array.shape, bool)
            while todo:
                here = todo.pop()
                part[here] = True
                near = {tuple(np.add(here, d)) for d in itertools.product((-1, 0, 1), repeat=3)}
                todo += near & left
                left -= near
            found.append(part)
        return found

    components, scores, used = parts(prediction), [], set()
    for grown in parts(ndimage.binary_dilation(reference, steps, iterations=3)):
        lesion = reference & grown
        own = [i for i, part in enumerate(components) if (part & grown).any()]
        used |= set(own)
        if lesion.sum() <= 50:
            continue
        found = np.any([components[i] for i in own], axis=0) if own else np.zeros_like(lesion)
        distance = hausdorff95(found, lesion, ONES) if own else PENALTY
        scores.append((f1_score(lesion.ravel(), found.ravel()), distance))
    scores += [(0, PENALTY)] * (len(components) - len(used))
    return tuple(np.mean(scores, axis=0)) if scores else (1, 0)


@pytest.mark.parametrize("seed", range(6))
def test_random_volumes_score_as_by_the_rules_step_by_step(seed):
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.random((14, 34, 30)), 1.8) for _ in range(2)]
    reference = fields[0] > np.quantile(fields[0], 0.985)
    prediction = 0.7 * fields[0] + 0.3 * fields[1]
    prediction = prediction > np.quantile(prediction, 0.985)
    expected = slow_lesionwise(prediction, reference)
    assert lesionwise_score(prediction, reference, ONES) == pytest.approx(expected)
    assert 0 < expected[0] < 1 and 0 < expected[1] < PENALTY


REGIONS = {"wt": (1, 2, 4), "tc": (1, 4), "et": (4,)}


def labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.random((8, 24, 20)), 2)
    return np.array([0, 2, 1, 4])[np.digitize(field, np.quantile(field, (0.8, 0.9, 0.95)))]


def test_regions_are_scored_each_by_itself():
    prediction, reference = labels(0), labels(1)
    found = volume_scores(prediction, reference, (1, 2, 2), REGIONS)
    assert set(found) == {f"{figure}_{region}" for figure in FIGURES for region in REGIONS}
    for name, values in REGIONS.items():
        masks = np.isin(prediction, values), np.isin(reference, values)
        assert found[f"dice_{name}"] == pytest.approx(f1_score(*(m.ravel() for m in masks)))
        assert found[f"hd95_{name}"] == hausdorff95(*masks, (1, 2, 2))
        lesionwise = found[f"lesionwise_dice_{name}"], found[f"lesionwise_hd95_{name}"]
        assert lesionwise == lesionwise_score(*masks, (1, 2, 2))


def test_empty_regions_follow_the_rules():
    tumour, empty = np.zeros((2, 6, 6, 6), int)
    tumour[:5, :5, :5] = 4
    np.testing.assert_equal(
        list(volume_scores(empty, empty, ONES, {"et": (4,)}).values()), [np.nan, 0, 1, 0]
    )
    for pair in ((tumour, empty), (empty, tumour)):
        scores = volume_scores(*pair, ONES, {"et": (4,)})
        np.testing.assert_equal(list(scores.values()), [0, np.nan, 0, PENALTY])


@pytest.mark.parametrize("spacing", [ONES, (1, 2, 2), (3, 0.9, 1.25)])
def test_distances_of_boxes_equal_surface_distance(spacing):
    """Where a twentieth of both surfaces or more lies that far apart all definitions agree."""
    first = mask(SHAPE, np.s_[2:10, 5:20, 5:20])
    for step in ((1, 0, 0), (0, 2, 0), (0, 0, 3)):
        second = np.roll(first, step, (0, 1, 2))
        distances = surface_distance.compute_surface_distances(first, second, spacing)
        expected = surface_distance.compute_robust_hausdorff(distances, 95)
        assert hausdorff95(first, second, spacing) == pytest.approx(expected)
        assert expected == pytest.approx(np.dot(step, spacing))


def test_distances_of_any_shape_are_near_those_of_surface_distance():
    """Its surface lies between voxels and its percentiles weigh by area: a voxel of difference."""
    for seed in range(4):
        first, second = labels(seed) > 0, labels(seed + 10) > 0
        distances = surface_distance.compute_surface_distances(first, second, (1, 2, 2))
        expected = surface_distance.compute_robust_hausdorff(distances, 95)
        assert hausdorff95(first, second, (1, 2, 2)) == pytest.approx(expected, abs=3)


def test_only_volumes_of_one_shape_have_lesions():
    for shapes in ((SHAPE, SHAPE[1:]), (SHAPE[1:],) * 2, (SHAPE, (12, 40, 39))):
        with pytest.raises(UserError, match=r"lesionwise_score needs two masks \[D,H,W\] of one"):
            lesionwise_score(*map(mask, shapes), ONES)
    with pytest.raises(UserError, match="each of the 3 axes"):
        lesionwise_score(mask(SHAPE), mask(SHAPE), (1, 1))


def test_a_mask_has_its_rates_and_an_undefined_score_is_nan():
    truth, found = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    truth[0, :2, :2], found[0, :2, :3] = True, True
    scores = mask_scores(found, truth, (1, 1, 1))
    assert scores["dice"] == pytest.approx(2 * 4 / 10)
    assert scores["sensitivity"] == 1 and scores["specificity"] == pytest.approx(26 / 28)
    assert scores["missed"] == 0 and scores["hd95"] == 1
    empty = mask_scores(found, np.zeros_like(truth), (1, 1, 1))
    assert empty["dice"] == 0 and empty["specificity"] == pytest.approx(26 / 32)
    assert all(np.isnan(empty[name]) for name in ("hd95", "missed", "sensitivity"))
    missed = mask_scores(np.zeros_like(truth), truth, (1, 1, 1))
    assert missed["missed"] == 1 and missed["dice"] == 0 and np.isnan(missed["hd95"])
