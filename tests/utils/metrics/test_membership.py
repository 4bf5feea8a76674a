"""The membership AUC against plain loops, its control, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.membership import membership

MEMBERS, MEMBER_PATIENTS = np.array([3, 5, 4, 4, 1, 6]), np.array([7, 7, 9, 9, 9, 2])
OTHERS, OTHER_PATIENTS = np.array([2, 4, 0]), np.array([1, 1, 5])


def plain_auc(members, others) -> float:
    won = [(a > b) + 0.5 * (a == b) for a in members for b in others]
    return sum(won) / len(won)


def test_the_auc_and_its_interval_are_those_of_plain_loops():
    found = membership(MEMBERS, MEMBER_PATIENTS, OTHERS, OTHER_PATIENTS, 200, seed=3)
    assert found.auc.mean == pytest.approx(plain_auc(MEMBERS, OTHERS))
    rng, drawn = np.random.default_rng(3), []
    groups = (MEMBERS, MEMBER_PATIENTS), (OTHERS, OTHER_PATIENTS)
    for _ in range(200):
        sample = []
        for scores, patients in groups:
            names = np.unique(patients)
            chosen = names[rng.integers(len(names), size=len(names))]
            sample.append([score for name in chosen for score in scores[patients == name]])
        drawn.append(plain_auc(*sample))
    np.testing.assert_allclose(found.auc[1:], np.percentile(drawn, [2.5, 97.5]))


def many(shift: float, seed: int = 0) -> tuple:
    """30 training and 10 held-out patients with 20 slices each and a level of their own."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(40), 20)
    scores = rng.normal(size=40)[patients] + rng.normal(size=800)
    return scores[:600] + shift, patients[:600], scores[600:], patients[600:]


def test_without_a_difference_the_corrected_interval_holds_one_half():
    found = membership(*many(0), 500, seed=0)
    low, high = found.corrected[1:]
    assert low < 0.5 < high
    assert found.control.mean == pytest.approx(0.5, abs=0.02)
    assert found.control.high - found.control.low > 0.1  # what the choice of patients alone does
    assert high - low > found.auc.high - found.auc.low


def test_members_that_score_higher_are_told_apart():
    found = membership(*many(3), 500, seed=0)
    assert found.auc.mean > 0.9 and found.corrected.low > 0.6


def test_equal_scores_give_one_half_and_no_width():
    found = membership(np.ones(6), MEMBER_PATIENTS, np.ones(3), OTHER_PATIENTS, 10, seed=0)
    assert [tuple(interval) for interval in found] == [(0.5, 0.5, 0.5)] * 3


def test_one_training_patient_has_no_control():
    found = membership(MEMBERS, np.zeros(6), OTHERS, np.zeros(3), 10, seed=0)
    assert found.auc.low == found.auc.high and np.isnan([*found.control, *found.corrected]).all()


def test_scores_without_patients_are_refused():
    with pytest.raises(UserError, match="a patient for each"):
        membership(MEMBERS, MEMBER_PATIENTS[:2], OTHERS, OTHER_PATIENTS, 10, seed=0)
    with pytest.raises(UserError, match="finite"):
        membership(MEMBERS * np.nan, MEMBER_PATIENTS, OTHERS, OTHER_PATIENTS, 10, seed=0)
