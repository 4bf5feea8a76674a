"""Membership inference from scores: the AUC of training cases against others, with a control."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.errors import UserError
from utils.metrics.resampling import Interval

NO_INTERVAL = Interval(np.nan, np.nan, np.nan)


class Membership(NamedTuple):
    """The AUC of a membership test, of its control, and their difference about 0.5.

    Attributes:
        auc: members against others; 0.5 = cannot be told apart, 1 = every member scores higher.
        control: the same AUC with some members, chosen at random, in the place of the others.
        corrected: 0.5 + auc - control.
    """

    auc: Interval
    control: Interval
    corrected: Interval


def membership(
    members: np.ndarray,
    member_patients: np.ndarray,
    others: np.ndarray,
    other_patients: np.ndarray,
    resamples: int,
    seed: int,
) -> Membership:
    """Returns the AUC with which scores tell members from others, with 95 % bootstrap intervals.

    The AUC is the fraction of pairs (member, other) in which the member scores higher; ties count
    half. In each resample members' and others' patients are drawn with replacement; for the control
    as many members' patients as there are others, at most half, are drawn without replacement and
    take the others' place. The corrected interval thus holds the chance in the choice of patients
    twice, which makes it wide rather than narrow. Of one member patient there is no control: NaN.

    Args:
        members: [N], the scores of members' slices.
        member_patients: [N], the patient of each.
        others: [K], the scores of the others' slices.
        other_patients: [K], the patient of each.
        resamples: number of bootstrap resamples, 1 or more.
        seed: random seed of the draws.

    Raises:
        UserError: there is no score, not one patient per score, or a score is not finite.
    """
    groups = [_check(members, member_patients), _check(others, other_patients)]
    scores = np.concatenate([scores for scores, _ in groups])
    numbers = [np.unique(patients, return_inverse=True)[1] for _, patients in groups]
    inside, outside = (number.max() + 1 for number in numbers)
    wins, sizes = _wins(scores, np.concatenate([numbers[0], numbers[1] + inside]))
    rng = np.random.default_rng(seed)
    chosen = np.zeros((resamples, inside + outside))
    for row in chosen:
        np.add.at(row, rng.integers(inside, size=inside), 1)
        np.add.at(row, inside + rng.integers(outside, size=outside), 1)
    point = np.ones((1, inside + outside))
    parts = slice(None, inside), slice(inside, None)
    value = _auc(wins, sizes, *(_only(point, part) for part in parts))[0]
    drawn = _auc(wins, sizes, *(_only(chosen, part) for part in parts))
    if inside < 2:
        return Membership(_interval(value, drawn), NO_INTERVAL, NO_INTERVAL)
    held = np.zeros_like(chosen)
    for row in held:
        row[rng.permutation(inside)[: min(outside, inside // 2)]] = 1
    control = _auc(wins, sizes, _only(1 - held, parts[0]), held)
    centre = float(control.mean())
    corrected = _interval(0.5 + value - centre, 0.5 + drawn - control)
    return Membership(_interval(value, drawn), _interval(centre, control), corrected)


def _check(scores: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, patients = np.asarray(scores, np.float64), np.asarray(patients)
    usable = scores.ndim == 1 and scores.shape == patients.shape and scores.size
    if not usable or not np.isfinite(scores).all():
        raise UserError(
            "membership needs finite scores [N] and a patient for each, found "
            f"{scores.shape} and {patients.shape}; leave out slices without a score."
        )
    return scores, patients


def _wins(scores: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns [P,P], how many pairs of slices patient i wins against j, and slices per patient."""
    count = patients.max() + 1
    wins = np.empty((count, count))
    for j in range(count):
        rivals = np.sort(scores[patients == j])
        below = [np.searchsorted(rivals, scores, side=side) for side in ("left", "right")]
        wins[:, j] = np.bincount(patients, np.mean(below, axis=0), count)
    return wins, np.bincount(patients, minlength=count)


def _auc(
    wins: np.ndarray, sizes: np.ndarray, inside: np.ndarray, outside: np.ndarray
) -> np.ndarray:
    """Returns the AUC [B] of how often [B,P] each patient counts inside and outside."""
    won = np.einsum("bi,ij,bj->b", inside, wins, outside, optimize=True)
    return won / ((inside @ sizes) * (outside @ sizes))


def _only(counts: np.ndarray, part: slice) -> np.ndarray:
    kept = np.zeros_like(counts)
    kept[:, part] = counts[:, part]
    return kept


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))
