"""Scores of the segmenters on whole patients: their slices put together in 3-D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.contract import DataSet
from data.slice_sets import Slices, patient_volumes
from utils.metrics.segmentation import mean_and_count
from utils.metrics.volumes import volume_scores


class VolumeScores(NamedTuple):
    """What `volume_scores` says of P patients and K networks.

    Attributes:
        subjects: [P], numbers of the patients.
        missing: [P], how many slices are missing between a patient's first and last.
        scores: by figure, [P,K] float, NaN where it is not defined.
    """

    subjects: np.ndarray
    missing: np.ndarray
    scores: dict[str, np.ndarray]


def score_volumes(
    slices: Slices, found: np.ndarray, dataset: DataSet, spacing: Sequence[float]
) -> VolumeScores:
    """Returns the scores of each patient's volume; missing slices count as empty in both labels.

    The volume is what was prepared: a lesion is cut where slices end.

    Args:
        slices: real ones, with label, subjects and index.
        found: [N,H,W,K], labels by K networks.
        dataset: whose regions are scored.
        spacing: depth, height and width of a voxel in mm.

    Raises:
        UserError: slices without their place in a volume, or two at one place.
    """
    subjects, missing, scores = [], [], []
    for volume in patient_volumes(slices, slices.label, found):
        reference, predictions = volume.values
        subjects.append(volume.subject)
        missing.append(volume.missing)
        scores.append(
            [
                volume_scores(predictions[..., i], reference, spacing, dataset.regions)
                for i in range(predictions.shape[-1])
            ]
        )
    figures = {
        key: np.array([[network[key] for network in patient] for patient in scores])
        for key in scores[0][0]
    }
    return VolumeScores(np.array(subjects), np.array(missing), figures)


def volume_figures(volumes: VolumeScores, prefix: str) -> dict[str, float]:
    """Returns means over patients and networks, and the numbers behind them.

    Keys are `<prefix>/<figure>`; `<prefix>/left_out_<figure>`, the number of patients that Dice or
    HD95 leaves out (a mean over networks); `<prefix>/patients` and `<prefix>/missing_slices`.
    Figures that a network has for no patient are left out.
    """
    figures = {"patients": len(volumes.subjects), "missing_slices": volumes.missing.sum()}
    for key, scores in volumes.scores.items():
        means, counts = zip(*(mean_and_count(network) for network in scores.T))
        figures[key] = np.mean(means)
        if not key.startswith("lesionwise"):  # those are always defined
            figures[f"left_out_{key}"] = len(scores) - np.mean(counts)
    return {f"{prefix}/{key}": float(v) for key, v in figures.items() if np.isfinite(v)}
